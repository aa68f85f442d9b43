"""`resnas evaluate`: what it says is so, of any kind of network, and what is wrong with its data is one line."""

from __future__ import annotations

import csv
import json

import pytest
from support.checks import check_schema
from support.peak import peak_of
from support.places import EXAMPLE
from support.small_data import SPACE, Stripes, write_folder, write_shards
from support.small_export import request

from resnas_deploy.data.demo import CLASS_NAMES, demo_images
from resnas_deploy.exporting.export import export
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import Provenance, Task, load, save, untrained

COUNT = 200
CHECKPOINT = EXAMPLE / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """The folder of an fp32 artifact of the trained network that comes with the package."""
    folder = tmp_path_factory.mktemp("clothes") / "clothes"
    export(lambda: load(CHECKPOINT), request(folder.parent, out=folder, name="clothes"), lambda _: None)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with the first 200 of the built-in validation images, in folders by their classes' numbers."""
    folder = tmp_path_factory.mktemp("pictures")
    images = demo_images()[1]
    for index in range(COUNT):
        inside = folder / str(images.labels[index])
        inside.mkdir(exist_ok=True)
        images.image(index).save(inside / f"{index}.png")
    return folder


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_an_artifact_its_page_and_its_answers(resnas, clothes, pictures, tmp_path):
    done = resnas("evaluate", clothes, "--data", pictures, "--html", "page.html", "--csv", "all.csv", "--threads", 1)
    assert "written: page.html" in done.out
    found = rows(tmp_path / "all.csv")
    assert len(found) == COUNT
    right = sum(row["right"] == "1" for row in found)
    assert COUNT * 0.8 < right < COUNT
    assert f"top-1 {right / COUNT:.2%} (" in done.out
    assert all((row["rank"] == "1") == (row["right"] == "1") == (row["class"] == row["answer"]) for row in found)
    assert all(float(row["confidence"]) >= float(row["class_probability"]) for row in found)
    assert {row["class_name"] for row in found} == set(CLASS_NAMES)
    text = (tmp_path / "page.html").read_text()
    assert text.count("<img ") == COUNT - right
    assert f"{COUNT - right} of {COUNT - right} images that were taken for another class" in text
    worst = max((float(row["confidence"]), row["image"]) for row in found if row["right"] == "0")
    assert text.index("<li><img") < text.index(worst[1]) < text.index("</li>", text.index("<li><img"))
    assert (
        "exists; choose another --csv"
        in resnas("evaluate", clothes, "--data", pictures, "--csv", "all.csv", code=2).err
    )


@pytest.mark.slow
def test_it_is_what_the_accuracy_gate_says(resnas, clothes, tmp_path):
    """Of an int8 export, on the same 2,000 images; and what it lost, image by image."""
    options = ("--precision", "int8", "--out", "int8", "--threads", 1, "--json")
    gate = resnas("export", "--checkpoint", CHECKPOINT, *options).json["manifest"]["verification"]["accuracy"]
    document = resnas("evaluate", "int8", "--data", "demo", "--against", clothes, "--threads", 1, "--json").json
    check_schema("evaluate", document)
    assert 100 * document["figures"]["top1"]["share"] == pytest.approx(gate["graph"])
    other = document["against"]
    assert 100 * other["figures"]["top1"]["share"] == pytest.approx(gate["reference"])
    lost = other["paired"]["second_alone"] - other["paired"]["first_alone"]
    assert lost == round((gate["reference"] - gate["graph"]) * 20)


def test_a_checkpoint_and_a_bare_file_are_the_artifact_again(resnas, clothes, pictures):
    options = ("--data", pictures, "--threads", 1, "--json")
    bare = (clothes / "model.onnx", "--preprocessing", clothes / "manifest.json")
    by_artifact = resnas("evaluate", clothes, *options, "--against", CHECKPOINT).json
    check_schema("evaluate", by_artifact)
    want = by_artifact["figures"]
    for found in (by_artifact["against"]["figures"], resnas("evaluate", *bare, *options).json["figures"]):
        assert found["top1"] == want["top1"]
        assert found["cross_entropy"] == pytest.approx(want["cross_entropy"], rel=1e-4)
    pair = by_artifact["against"]["paired"]
    assert (pair["first_alone"], pair["second_alone"], pair["p"]) == (0, 0, 1)


def test_a_bare_file_is_told_how_images_are_prepared(resnas, refused, clothes, pictures, tmp_path):
    run = ("evaluate", clothes / "model.onnx", "--data", pictures, "--threads", 1)
    guessed = resnas(*run, "--json")
    assert "does not say how its images are prepared: they are taken as ImageNet's" in guessed.err
    assert "trained" not in guessed.json["figures"]
    grey = json.loads((clothes / "manifest.json").read_text())["preprocessing"] | {"mean": [5, 5, 5]}
    (tmp_path / "grey.json").write_text(json.dumps(grey))
    wrong = resnas(*run, "--preprocessing", "grey.json", "--json")
    assert "prepared" not in wrong.err
    assert wrong.json["figures"]["top1"]["share"] < 0.5 < guessed.json["figures"]["top1"]["share"]
    (tmp_path / "small.json").write_text(json.dumps(grey | {"image_size": 8, "resize": 8}))
    line = refused(*run, "--preprocessing", "small.json")
    assert "small.json must be for the 32 pixels of" in line


@pytest.fixture
def stripes(tmp_path):
    """A network for little images, that is said to be trained; and its data."""
    arch = SPACE.narrowest().arch
    weights = untrained(arch)
    task = Task(tuple(sorted(Stripes().class_names)), Preprocessing(arch.image_size, arch.image_size))
    save(type(weights)(arch, weights.tensors, Provenance(True, ("trained",)), task), tmp_path / "net.safetensors")
    return write_folder(tmp_path / "data")


def figures(done):
    return done.json["figures"]["top1"], done.json["figures"]["cross_entropy"]


def test_every_layout_gives_the_same(resnas, stripes, tmp_path):
    whole = resnas("evaluate", "net.safetensors", "--data", "data", "--json")
    assert whole.json["images"] == 6
    flat = tmp_path / "flat"
    flat.mkdir()
    lines = []
    for path in sorted((stripes / "val").rglob("*.png")):
        name = f"{path.parent.name}-{path.name}"
        (flat / name).write_bytes(path.read_bytes())
        lines.append((name, path.parent.name))
    (tmp_path / "list.csv").write_text("".join(f"{name},{label}\n" for name, label in lines))
    (tmp_path / "list.txt").write_text("".join(f"{name} {label}\n" for name, label in lines))
    (tmp_path / "deep.txt").write_text("".join(f"./flat/{name}\t{label}\n" for name, label in lines))
    (tmp_path / "numbers.txt").write_text("".join(f"{('blue', 'green', 'red').index(x)}\n" for _, x in lines))
    for options in (
        ("--data", "data/val"),
        ("--data", "flat", "--labels", "list.csv"),
        ("--data", "flat", "--labels", "list.txt"),
        ("--data", "flat", "--labels", "numbers.txt"),
        ("--data", "deep.txt"),
    ):
        assert figures(resnas("evaluate", "net.safetensors", *options, "--json")) == figures(whole), options
    shards = write_shards(tmp_path / "shards")
    assert resnas("evaluate", "net.safetensors", "--data", shards, "--json").json["images"] == 18


def test_images_that_cannot_be_read_are_named_and_lose_nothing(resnas, stripes, tmp_path):
    (stripes / "val" / "red" / "0.png").write_bytes(b"broken")
    done = resnas("evaluate", "net.safetensors", "--data", "data", "--csv", "all.csv", code=2)
    assert "of 5 images" in done.out
    assert "1 image could not be read: " in done.err
    assert "red/0.png' must be an image" in done.err
    (bad,) = (row for row in rows(tmp_path / "all.csv") if row["problem"])
    assert (bad["image"], bad["class_name"], bad["answer"]) == ("red/0.png", "red", "")
    assert resnas("evaluate", "net.safetensors", "--data", "data", "--skip-unreadable").out.count("of 5 images") == 1
    for path in (stripes / "val").rglob("*.png"):
        path.write_bytes(b"")
    line = resnas("evaluate", "net.safetensors", "--data", "data", code=2).err
    assert "there must be an image that can be read, found none of 6: " in line


def test_what_does_not_go_together_is_one_line_before_any_work(refused, stripes, clothes, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    (stripes / "val" / "red").rename(stripes / "val" / "rot")
    for options, said in (
        (("--data", "nowhere"), "--data must be demo, a folder of labelled images, or a list of such, found 'nowhere'"),
        (("--data", "data/val"), "found 'rot'; its classes are 'blue', 'green', 'red', by name or by number"),
        (("--data", "demo", "--labels", "x.csv"), "--labels must be for a folder of images, found x.csv"),
        (("--data", "data/val", "--runner", "ort-cpu"), "--runner must run weights for a checkpoint, such as torch"),
        (("--data", "data/val", "--engine", "abc"), "--engine must be of an artifact, found the checkpoint"),
        (("--data", "data/val", "--html", "there.html"), "there.html exists; choose another --html, or give --force"),
        (("--data", "data/val", "--csv", "no/x.csv"), "--csv must lie in a folder that is there"),
        (("--data", "demo", "--against", clothes), "every label must be a class of"),
        (("--data", "data/val/blue/0.png"), "a list of such, found 'data/val/blue/0.png'; check the path"),
        (("--data", "x" * 9999), "a list of such, found 'xxx"),
        (
            ("--data", "data", "--preprocessing", clothes / "manifest.json"),
            "--preprocessing must be for a bare ONNX file, found net.safetensors, which says its own; leave it out",
        ),
    ):
        assert said in refused("evaluate", "net.safetensors", *options)
    assert "an artifact must be a folder with manifest.json" in refused("evaluate", "nothing", "--data", "demo")


def test_untrained_weights_are_told(resnas, stripes, tmp_path):
    save(untrained(SPACE.narrowest().arch), tmp_path / "random.safetensors")
    done = resnas("evaluate", "random.safetensors", "--data", "data")
    assert "The weights are untrained: these figures mean nothing." in done.out
    assert "has no names of its classes: labels are taken in their order, 'blue' for class 0" in done.err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(mini_artifact, tmp_path):
    """A thousand of 112 pixels would have 150 MB as the network takes them, and several times that as they are."""
    picture = (EXAMPLE / "pictures" / "bag.png").read_bytes()
    peaks = []
    for count in (100, 1100):
        for label in range(10):
            folder = tmp_path / f"{count}" / f"{label}"
            folder.mkdir(parents=True)
            for number in range(count // 10):
                (folder / f"{number}.png").write_bytes(picture)
        peaks.append(peak_of(tmp_path, "evaluate", str(mini_artifact), "--data", str(count), "--threads", "2"))
    assert peaks[1] - peaks[0] < 30e6
