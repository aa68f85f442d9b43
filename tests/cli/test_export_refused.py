"""What `resnas export` refuses: one line, and nothing is left."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.networks import mini
from support.places import GOLDEN

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.runners.registry import RUNNERS

RESNAS = Path(sys.executable).with_name("resnas")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--batch", "8:1"], "1 <= LEAST <= MOST <= 4096, found 8:1"),
        (["--batch", "0"], "found 0:0"),
        (["--batch", "x"], "a number such as 8 or a range such as 1:64, found 'x'"),
        (["--batch", "1:99999"], "found 1:99999"),
        (["--batch", ""], "found ''"),
        (
            ["--image-size", "230"],
            "image_size must be a multiple of patch_size = 14, found 230; the nearest is 224",
        ),
        (["--image-size", "-56"], "Invalid value for '--image-size'"),
        (["--image-size", "65520"], "Invalid value for '--image-size'"),
        (["--image-size", "many"], "Invalid value for '--image-size'"),
        (["--precision", "int3"], "--precision must be one of fp32, fp16, bf16, int8, fp8, found 'int3'"),
        (["--align", "12"], "--align must be one of 1, 8, 16, 32, 64, auto (1: nothing is padded), found '12'"),
        (["--align", "0"], "--align must be one of 1, 8, 16, 32, 64, auto (1: nothing is padded), found '0'"),
        (["--align", "-8"], "found '-8'"),
        (["--align", "many"], "found 'many'"),
        (["--align", "8.5"], "found '8.5'"),
        (["--verify-on", "tpu"], "torch-compile-max, aoti, found 'tpu'"),
        (["--verify-on", "torch"], "a graph must be verified on a runner that runs it"),
        (["--verify-on", "ort-cpu", "--precision", "bf16"], "must have kernels for bf16, found only fp32, fp16"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--threads", "100000"], "Invalid value for '--threads'"),
        (["--subnet", "x"], "--subnet must come with the --checkpoint of a supernet"),
        (["--class-names", "nothing"], "class names must be in a text file: nothing must be a readable file"),
        (["--checkpoint", "nothing"], "(.safetensors), found no file"),
        (["--checkpoint", "."], "found a folder"),
        (["--checkpoint", "tiny.json"], "tiny.json must be a whole safetensors file"),
        (["--checkpoint", str(GOLDEN / "vit_search_mini.pth.tar")], "is converted by resnas import"),
        (["--out", "tiny.json"], "tiny.json exists"),
        (["--out", "tiny.json", "--force"], "tiny.json exists and must be an artifact to be replaced"),
        (["--out", "tiny.json/out"], "tiny.json/out cannot be written"),
        (["--out", "/proc/out"], "/proc/out cannot be written"),
        (["--out", "/dev/null"], "/dev/null exists"),
        (["--out", "."], "must have a name of its own"),
        (["--out", "/", "--keep-failed"], "must have a name of its own"),
        (["--out", "x" * 300], "File name too long"),
        (["--out", "a/b/c", "--class-names", "nothing"], "nothing must be a readable file"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(refused, tiny, options, said):
    assert said in refused("export", "--arch", tiny, *options)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--arch or --checkpoint, found neither; try --arch small"),
        (["--arch", "nothing"], "tiny, small, medium or a file, found 'nothing'"),
        (["--arch", "."], "tiny, small, medium or a file, found '.'"),
        (["--arch", "x" * 5000], "tiny, small, medium or a file"),
        (["--checkpoint", "nothing.safetensors"], "nothing.safetensors: a checkpoint must be a file"),
    ],
)
def test_nothing_to_export(refused, arguments, said):
    assert said in refused("export", *arguments)


def test_a_wrong_size_for_a_checkpoint(refused, mini_checkpoint):
    arguments = ("export", "--checkpoint", mini_checkpoint, "--image-size")
    assert "the nearest is 224" in refused(*arguments, "230")
    assert "at most 1792" in refused(*arguments, "1848")


@pytest.mark.skipif(RUNNERS["ort-cuda"].problem() is None, reason="CUDA is here")
def test_a_runner_that_is_not_here(refused, tiny):
    line = refused("export", "--arch", tiny, "--verify-on", "ort-cuda", code=5)
    assert line.endswith("install it with: pip uninstall -y onnxruntime && pip install 'resnas[gpu]'")


def test_without_torch_only_unverified(resnas, refused, tiny, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    line = refused("export", "--arch", tiny, code=5)
    assert "--unverified" in line
    assert line.endswith("pip install torch")
    resnas("export", "--arch", tiny, "--unverified")


@pytest.fixture
def wrong_graph(monkeypatch):
    """Every graph is wrong: its class token is left out."""
    monkeypatch.setattr("resnas_deploy.graph.fold.stem_table", lambda position, token, bias: position + bias)


@pytest.mark.usefixtures("wrong_graph")
def test_a_graph_that_is_wrong_is_not_written(refused, tiny):
    assert "the graph must compute" in refused("export", "--arch", tiny, "--out", "a/out", code=3)


@pytest.mark.usefixtures("wrong_graph")
def test_a_graph_that_is_wrong_is_kept_if_asked(resnas, refused, tiny, tmp_path, monkeypatch):
    arguments = ("export", "--arch", tiny, "--keep-failed", "--out", "out")
    for _ in range(2):
        done = resnas(*arguments, code=3)
        assert len(done.err.splitlines()) == 1
        assert open_artifact(tmp_path / "out.failed").manifest.label.endswith("FAILED VERIFICATION)")
        assert {path.name for path in tmp_path.iterdir()} == {"tiny.json", "out.failed"}
    (tmp_path / "out.failed" / "thesis.txt").write_text("precious")
    monkeypatch.setattr("resnas_deploy.exporting.export.creating", None)  # it is found before any work is done
    assert "'thesis.txt' in it" in refused(*arguments)


def test_too_little_memory_is_one_line(refused, tiny, monkeypatch):
    def out_of_memory(*_arguments):
        raise MemoryError

    monkeypatch.setattr("resnas_deploy.exporting.source.untrained", out_of_memory)
    assert "more memory than there is" in refused("export", "--arch", tiny)


def test_a_checkpoint_without_finite_weights(refused, tmp_path):
    from safetensors.numpy import save_file

    checkpoint = mini()
    tensors = dict(checkpoint.tensors) | {"stem.class_token": np.full((1, 1, 32), np.nan, np.float32)}
    header = {"schema": 1, "arch": checkpoint.arch.to_json(), "provenance": checkpoint.provenance.to_json()}
    save_file(tensors, tmp_path / "nan.safetensors", metadata={"resnas": json.dumps(header)})
    assert "NaN or infinity in stem.class_token" in refused("export", "--checkpoint", "nan.safetensors")
    save_file(replace(checkpoint).tensors, tmp_path / "plain.safetensors")
    assert "must have the architecture in its metadata" in refused("export", "--checkpoint", "plain.safetensors")
