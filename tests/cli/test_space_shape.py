"""`resnas space shape`: a table, a file, a page, a document; and what is wrong."""

from __future__ import annotations

import pytest
from support.checks import check_schema
from support.shaped_spaces import little

from resnas_deploy.weights.space_files import space_named
from resnas_deploy.weights.space_text import space_text

SPACE = little(heads=(2, 1))
ARGUMENTS = (
    "space",
    "shape",
    "--space",
    "little.toml",
    "--runner",
    "ort-cpu",
    "--openings",
    "2",
    "--store",
    "s.sqlite",
)


@pytest.fixture
def space_file(tmp_path):
    path = tmp_path / "little.toml"
    path.write_text(space_text(SPACE))
    return path


def test_what_is_shown_and_written(resnas, tmp_path, space_file):
    done = resnas(*ARGUMENTS, "--out", "mine.toml", "--plot", "mine.html")
    assert done.out.startswith("little shaped for ort-cpu (onnxruntime ")
    assert "stage 1 heads" in done.out
    assert "\nwritten: mine.toml\nwritten: mine.html\nnext: resnas train supernet --space mine.toml " in done.out
    assert space_named(tmp_path / "mine.toml").name == "mine"
    assert "<title>little shaped for " in (tmp_path / "mine.html").read_text()
    document = resnas(*ARGUMENTS, "--json").json
    check_schema("space-shape", document)
    assert document["measured_now"] == 0
    assert document["space"]["name"] == "little-shaped"
    assert document["setting"]["runner"] == "ort-cpu"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--space", "none"), "--space must be one of tiny, small, demo, a TOML file or a supernet, found 'none'"),
        (("--out", "mine.json"), "--out must end in .toml, as a space's file does, found mine.json"),
        (("--runner", "tpu"), "--runner must be one of "),
        (("--target", "tvm"), "--target must be one of "),
        (
            ("--target", "openvino"),
            "kernels are counted of TensorRT's targets, found --target openvino; use tensorrt-rtx",
        ),
        (("--target", "tensorrt-rtx"), "--runner must not come with --target, which runs nothing; leave it out"),
        (("--capability", "8.9"), "--capability must come with --target, whose kernels are counted, found none"),
        (("--attention", "kept"), "--attention must come with --target"),
        (("--attention", "half", "--target", "tensorrt-rtx", "--runner", ""), "--attention must be quantised or kept"),
        (("--plot", "page.png"), "--plot must end in .html, found page.png"),
        (("--out", "little.toml"), "little.toml exists; choose another --out, or give --force to replace a file"),
        (("--out", "no/mine.toml"), "--out must lie in a folder that is there"),
        (("--out", "x.html", "--plot", "x.html"), "must be another file than"),
        (("--precision", "int3"), "--precision must be one of"),
        (("--image-size", "17"), "image_size must be"),
    ],
)
def test_what_is_wrong(refused, space_file, more, message):
    assert message in refused(*ARGUMENTS, *more)
