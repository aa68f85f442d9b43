from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest
import torch
from support.networks import golden_space, mini, supernet_definitions
from support.places import GOLDEN

from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import Task, load

CHECKPOINT = GOLDEN / "vit_search_mini.pth.tar"
DEFINITION = GOLDEN / "vit_search_mini.network_def.txt"
SUPERNET, SPACE = GOLDEN / "vit_search_supernet_mini.pth.tar", GOLDEN / "spaces" / "mini.toml"


def test_the_reference_checkpoint(resnas, tmp_path):
    done = resnas("import", CHECKPOINT, "--network-def", DEFINITION, "--out", "mini.safetensors")
    assert done.out.splitlines() == [
        "mini.safetensors: 112 pixels, 10 classes, 1.0 MB of weights",
        "next: resnas export --checkpoint mini.safetensors",
    ]
    assert done.err == ""
    found = load(tmp_path / "mini.safetensors")
    assert found.arch == mini().arch
    assert found.digest == mini().digest
    assert [path.name for path in tmp_path.iterdir()] == ["mini.safetensors"]


def test_the_definition_as_text_and_json(resnas):
    text = DEFINITION.read_text()
    done = resnas("import", CHECKPOINT, "--network-def", text, "--out", "mini.safetensors", "--json")
    assert done.json["out"] == "mini.safetensors"
    assert done.json["arch"] == mini().arch.to_json()
    assert done.json["provenance"]["trained"] is True
    assert "vit_search_mini.pth.tar (model_ema)" in done.json["provenance"]["history"][0]


def test_a_file_is_replaced_only_with_force(resnas, refused, tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    arguments = ("import", CHECKPOINT, "--network-def", DEFINITION, "--out", out)
    assert "give --force" in refused(*arguments)
    resnas(*arguments, "--force")
    assert load(out).digest == mini().digest


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_folder_is_not_replaced(refused, tmp_path, force):
    (tmp_path / "out.safetensors").mkdir()
    assert "found the folder out" in refused(
        "import", CHECKPOINT, "--network-def", DEFINITION, "--out", "out.safetensors", *force
    )


def test_a_missing_folder_is_found_before_the_work(refused):
    line = refused("import", "nothing", "--network-def", DEFINITION, "--out", "no/such/out.safetensors")
    assert "--out must lie in a folder that is there, found none at no/such" in line


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "half", "npz", "plain", "list", "pickle"])
def test_files_that_are_no_checkpoints(refused, tmp_path, kind):
    path = tmp_path / "file.pth.tar"
    if kind == "folder":
        path.mkdir()
    elif kind == "plain":
        torch.save({"state": 1}, path)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(_Evil(str(tmp_path / "evil"))))
    elif kind != "missing":
        content = {
            "empty": b"",
            "text": b"hello",
            "half": CHECKPOINT.read_bytes()[:500_000],
            "npz": (GOLDEN / "vit_search_mini.npz").read_bytes(),
        }
        path.write_bytes(content[kind])
    line = refused("import", path, "--network-def", DEFINITION, "--out", "out.safetensors")
    assert line.startswith(f"resnas: {path}")


class _Evil:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        ("nothing", "nothing must be a readable file, found: No such file or directory"),
        ("(", "one tuple"),
        ("((4, 32), (2, 32, 10))", "1 to 3 reductions"),
        ("__import__('os').system('touch evil')", "must be a readable file"),
        ("(__import__('os').system('touch evil'),)", "nothing is evaluated"),
        (str(GOLDEN / "macs.csv"), "at most 100000 characters"),
        (str(GOLDEN / "vit_search_mini.npz"), "UTF-8 text"),
        (str(GOLDEN), "found a folder"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_definitions_that_are_none(refused, definition, said):
    assert said in refused("import", CHECKPOINT, "--network-def", definition, "--out", "out.safetensors")


def test_a_supernet_by_its_space(resnas, tmp_path):
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in "abcdefghij"))
    done = resnas("import", SUPERNET, "--space", SPACE, "--classes", "names.txt", "--out", "s.safetensors")
    assert done.out.splitlines() == [
        "s.safetensors: 112 pixels, 10 classes, 1.8 MB of weights",
        "a supernet of the space mini, 22,744,800 subnets (10^7.4)",
        "next: resnas search --supernet s.safetensors --score-on IMAGES --max-macs 60% --out found",
    ]
    found = load(tmp_path / "s.safetensors")
    assert found.space == golden_space("mini")
    assert found.task == Task(tuple("abcdefghij"), Preprocessing.for_image_size(112))


def test_a_supernet_for_images_of_another_size(resnas, tmp_path):
    done = resnas("import", SUPERNET, "--space", SPACE, "--image-size", "168", "--out", "s.safetensors", "--json")
    found = load(tmp_path / "s.safetensors")
    assert found.space == golden_space("mini").with_image_size(168)
    assert (found.arch, found.task) == (found.space.widest().arch, None)
    assert done.json["space"]["image_size"] == done.json["arch"]["image_size"] == 168
    assert found.provenance.history[-1].startswith("position tables resized bicubically from 112 to 168")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there must be --network-def, or for a supernet --space, found neither"),
        (("--space", "huge"), "--space must be one of tiny, small, demo, a TOML file or a supernet, found 'huge'"),
        (("--space", "tiny"), "patch_embed.conv_proj.weight must be (256, 24, 7, 7), found (32, 24, 7, 7)"),
        (
            ("--space", SPACE, "--image-size", "100"),
            "image_size must be a multiple of patch_size = 14, found 100; the",
        ),
        (("--space", SPACE, "--image-size", "2016"), "image_size must be at most 1792 pixels"),
        (("--space", SPACE, "--classes", DEFINITION), "must name 10 classes, one a line; found 1"),
        (("--space", SPACE, "--classes", "none.txt"), "class names must be in a text file: none.txt"),
        (("--space", SPACE, "--network-def", DEFINITION), "must be of the widest subnet of its space, mini"),
    ],
)
def test_supernets_that_are_refused(refused, arguments, said):
    assert said in refused("import", SUPERNET, *arguments, "--out", "out.safetensors")


def test_another_networks_definition_names_the_tensors(refused):
    line = refused("import", CHECKPOINT, "--network-def", supernet_definitions()[0], "--out", "out.safetensors")
    assert "the tensors must be those of the network_def: blocks.0.attn.qkv.weight must be (192, 32)" in line


def test_weights_that_are_not_finite(refused, tmp_path):
    data = torch.load(CHECKPOINT, weights_only=True)
    data["model_ema"]["tokens"][0, 0, 0] = np.nan
    torch.save(data, tmp_path / "nan.pth.tar")
    line = refused("import", "nan.pth.tar", "--network-def", DEFINITION, "--out", "out.safetensors")
    assert "NaN or infinity in stem.class_token" in line


def test_without_torch_comes_the_command_that_installs_it(refused, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    line = refused("import", CHECKPOINT, "--network-def", DEFINITION, "--out", "out.safetensors", code=5)
    assert line.endswith("install it with: pip install torch")
