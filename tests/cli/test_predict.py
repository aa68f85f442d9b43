from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from support.places import GOLDEN

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import preprocess
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

DATA = GOLDEN / "images"
IMAGE_FILES = sorted(DATA.glob("*.jpg"))
CAT = DATA / "cat.jpg"


@pytest.fixture
def expected(mini_artifact):
    """The probabilities of the images, computed apart from the command."""
    artifact = open_artifact(mini_artifact)
    batch = np.stack([preprocess(load_image(path), artifact.manifest.preprocessing) for path in IMAGE_FILES])
    with RUNNERS["torch"].open(artifact, Options(2)) as runner:
        logits = runner.run(batch)[OUTPUT].astype(np.float64)
    shares = np.exp(logits)
    return shares / shares.sum(axis=1, keepdims=True)


def best_of(done):
    """The best class of each image in the table, by the image's path."""
    rows = [line.split() for line in done.out.splitlines()]
    return {row[0]: row[2] for row in rows if len(row) == 5 and row[1] == "class"}


def test_several_images(resnas, mini_artifact, expected):
    done = resnas("predict", mini_artifact, *IMAGE_FILES)
    assert done.err == ""
    assert done.out.splitlines()[0] == "mini fp32 112 on ort-cpu"
    assert "untrained" not in done.out
    assert best_of(done) == {
        str(path): str(best) for path, best in zip(IMAGE_FILES, expected.argmax(axis=1), strict=True)
    }
    assert len(done.out.splitlines()) == 2 + 5 * len(IMAGE_FILES)


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino", "torch"])
def test_json_has_every_class_asked_for(resnas, mini_artifact, expected, runner):
    found = resnas("predict", mini_artifact, *IMAGE_FILES, "--json", "--top", "100", "--runner", runner).json
    assert (found["label"], found["trained"], found["runner"]) == ("mini fp32 112", True, runner)
    assert found["errors"] == []
    assert [image["image"] for image in found["images"]] == list(map(str, IMAGE_FILES))
    for image, shares in zip(found["images"], expected, strict=True):
        top = image["top"]
        assert [entry["class"] for entry in top] == list(np.argsort(-shares))
        assert [entry["probability"] for entry in top] == pytest.approx(sorted(shares, reverse=True), rel=1e-4)
        assert {entry["name"] for entry in top} == {None}


@pytest.mark.parametrize(("precision", "batch"), [("fp32", "3"), ("fp32", "2:8"), ("fp16", "4"), ("bf16", "2")])
def test_artifacts_that_do_not_take_one_image(resnas, untrained_artifact, precision, batch):
    usual = resnas("predict", untrained_artifact(precision), CAT, "--json").json["images"][0]["top"]
    found = resnas("predict", untrained_artifact(precision, batch), CAT, "--json").json["images"][0]["top"]
    assert [entry["class"] for entry in found[:2]] == [entry["class"] for entry in usual[:2]]


def test_untrained_weights_are_said_to_mean_nothing(resnas, untrained_artifact):
    done = resnas("predict", untrained_artifact(), CAT)
    assert done.out.splitlines()[0] == "The weights are untrained: these classes mean nothing."
    assert "(untrained weights, UNVERIFIED) on ort-cpu" in done.out
    assert resnas("predict", untrained_artifact(), CAT, "--json").json["trained"] is False


def test_class_names(resnas, tiny, tmp_path):
    (tmp_path / "names.txt").write_text("ant\nbee\n[red]cat[/]\n狗\n" + "x" * 300 + "\n")
    resnas("export", "--arch", tiny, "--class-names", "names.txt", "--unverified")
    text = resnas("predict", "tiny-fp32", CAT).out
    assert all(name in text for name in ("ant (0)", "bee (1)", "[red]cat[/] (2)", "狗 (3)", "x" * 300 + " (4)"))
    found = resnas("predict", "tiny-fp32", CAT, "--json").json["images"][0]["top"]
    assert {entry["name"] for entry in found} == {"ant", "bee", "[red]cat[/]", "狗", "x" * 300}


def save(path, kind):
    """The cat in another kind of image."""
    with Image.open(CAT) as image:
        small = image.convert("RGB").resize((160, 120))
    if kind == "grey":
        small.convert("L").save(path)
    elif kind == "rgba":
        small.putalpha(200)
        small.save(path)
    elif kind == "palette":
        small.convert("P").save(path)
    elif kind == "16 bits":
        wide = np.asarray(small.convert("L")).astype(np.uint16) * 257
        Image.fromarray(wide).save(path)
    elif kind == "cmyk":
        small.convert("CMYK").save(path, format="JPEG")
    else:
        exif = Image.Exif()
        exif[0x0112] = 6  # turned
        small.save(path, format="JPEG", exif=exif)


def test_every_kind_of_image(resnas, mini_artifact, tmp_path):
    kinds = ("grey", "rgba", "palette", "16 bits", "cmyk", "turned")
    for kind in kinds:
        save(tmp_path / f"{kind}.png", kind)
    done = resnas("predict", mini_artifact, *(f"{kind}.png" for kind in kinds), "--json")
    assert done.err == ""
    assert [image["image"] for image in done.json["images"]] == [f"{kind}.png" for kind in kinds]


@pytest.fixture
def broken(tmp_path):
    """Files that are no whole images, by name."""
    files = {
        "truncated.jpg": CAT.read_bytes()[:5000],
        "bomb.png": _png_of(60_000, 60_000),
        "text.jpg": b"hello",
        "empty.jpg": b"",
        "two\nlines.jpg": b"hello",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "folder").mkdir()
    return [*files, "folder", "nothing.jpg"]


def _png_of(width, height):
    """A PNG of a few bytes that declares a huge image."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def test_each_broken_image_is_named_and_the_others_are_classified(resnas, mini_artifact, broken):
    images = [CAT, *broken, DATA / "rocket.jpg"]
    done = resnas("predict", mini_artifact, *images, code=2)
    assert set(best_of(done)) == {str(CAT), str(DATA / "rocket.jpg")}
    lines = done.err.splitlines()
    assert len(lines) == len(broken)
    for line, name in zip(lines, broken, strict=True):
        assert line.startswith(f"resnas: {name!r} must ")

    done = resnas("predict", mini_artifact, *images, "--json", code=2)
    assert [image["image"] for image in done.json["images"]] == [str(CAT), str(DATA / "rocket.jpg")]
    assert [f"resnas: {error}" for error in done.json["errors"]] == lines
    assert done.err.splitlines() == lines


def test_one_broken_image_is_one_line(refused, mini_artifact, broken):
    for name in broken:
        assert repr(name) in refused("predict", mini_artifact, name)


def test_a_file_name_that_is_no_text(resnas, mini_artifact, tmp_path):
    name = b"n\xff.jpg".decode(errors="surrogateescape")
    (tmp_path / name).write_bytes(CAT.read_bytes())
    assert r"n\udcff.jpg" in resnas("predict", mini_artifact, name).out
    assert resnas("predict", mini_artifact, name, "--json").json["images"][0]["image"] == name


@pytest.mark.parametrize("top", ["0", "-1", "many"])
def test_a_wrong_number_of_classes(refused, mini_artifact, top):
    assert "Invalid value for '--top'" in refused("predict", mini_artifact, CAT, "--top", top)


@pytest.mark.parametrize("top", [1, 3, 10, 11, 1000])
def test_the_number_of_classes(resnas, mini_artifact, top):
    assert len(resnas("predict", mini_artifact, CAT, "--top", top).out.splitlines()) == 2 + min(top, 10)


def test_wrong_runners_and_artifacts(refused, mini_artifact, untrained_artifact, artifact_copy):
    assert "--runner must be one of" in refused("predict", mini_artifact, CAT, "--runner", "tpu")
    bf16 = untrained_artifact("bf16")
    assert "must have kernels for bf16" in refused("predict", bf16, CAT, "--runner", "ort-cpu")
    assert "must be a folder with manifest.json" in refused("predict", "nothing", CAT)
    (artifact_copy / "model.onnx").write_bytes(b"changed")
    assert "model.onnx differs from the hash" in refused("predict", artifact_copy, CAT)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--device", "cuda:0"], 5, "no NVIDIA GPU was found here"),
        (["--runner", "torch", "--device", "cuda"], 5, "the runner torch is not available here: no NVIDIA GPU"),
        (["--runner", "ort-cpu", "--device", "cuda"], 2, "the device of the runner ort-cpu must be cpu, found 'cuda'"),
    ],
)
def test_a_device_that_cannot(refused, mini_artifact, monkeypatch, options, code, said):
    monkeypatch.setattr("resnas_deploy.runners.devices.gpus", lambda: ())
    assert said in refused("predict", mini_artifact, CAT, *options, code=code)
