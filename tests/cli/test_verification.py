"""Graphs that leave their own type's range, on the command line: refused, shown, and never used in silence."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from support.places import DEMO, GOLDEN

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.creating import seal
from resnas_deploy.weights.checkpoint import Checkpoint, load, save

ONE = ("--threads", "1")
CAT = GOLDEN / "images" / "cat.jpg"


def with_larger(tmp_path, name, scale, rows=slice(None)):
    """The name of a checkpoint in `tmp_path`: the demo network with a tensor multiplied."""
    checkpoint = load(DEMO)
    tensors = {key: np.array(values) for key, values in checkpoint.tensors.items()}
    tensors[name][rows] *= np.float32(scale)
    save(Checkpoint(checkpoint.arch, tensors, checkpoint.provenance, checkpoint.task), tmp_path / "large.safetensors")
    return "large.safetensors"


@pytest.fixture
def large(tmp_path):
    """One whose scores of attention are beyond float16 and nothing else is."""
    inner = load(DEMO).arch.stages[-1].blocks[-1].inner
    return with_larger(tmp_path, "stage3.block2.attention.qkv.weight", 400, slice(0, 2 * inner))


def test_an_export_in_float16_is_refused_and_names_the_place_and_the_remedy(refused, large):
    line = refused("export", *ONE, "--checkpoint", large, "--precision", "fp16", "--out", "out", code=3)
    assert "in the element stage3.block2, at stage3.block2.attention.scores (Attention)" in line
    assert line.endswith("; export with --precision bf16 or fp32")


def test_json_has_the_headroom_of_what_failed(resnas, large):
    done = resnas("export", *ONE, "--checkpoint", large, "--precision", "fp16", "--json", code=3)
    found = done.json["verification"]["own_arithmetic"]
    share = {item["element"]: item["share"] for item in found["headroom"]}
    assert share["stem"] < found["margin"] < 1 < share["stage3.block2"]
    assert done.json["artifact"] is None
    assert "stage3.block2" in done.json["error"]


def test_the_remedy_helps(resnas, large):
    assert "verified: error " in resnas("export", *ONE, "--checkpoint", large, "--precision", "fp32").out


def test_the_table_of_an_export_of_verify_and_of_inspect(resnas):
    exported = resnas("export", *ONE, "--checkpoint", DEMO, "--precision", "fp16", "--out", "out").out
    title = "Headroom in fp16: at most 25.00% of its largest number, 65504, is allowed"
    for text in (exported, resnas("verify", *ONE, "out").out, resnas("inspect", "out").out):
        after = text.partition(title)[2].splitlines()
        rows = {line.split()[0]: line.split() for line in after if line.strip()}
        assert rows["element"] == ["element", "largest", "at", "magnitude", "of", "fp16"]
        assert rows["stage3.block2"][-1].endswith("%")
        assert rows["stage3.block2"][1].startswith("stage3.block2.")
        assert {"stem", "reduction1", "reduction2", "head"} <= set(rows)
    assert "; in fp16 arithmetic error " in exported
    found = resnas("verify", *ONE, "out", "--json").json["verification"]["own_arithmetic"]
    assert found == resnas("inspect", "out", "--json").json["manifest"]["verification"]["own_arithmetic"]


@pytest.fixture
def believed(resnas, large, tmp_path):
    """The name of an artifact that a runtime verified which computes in float32: as they were written before."""
    resnas("export", *ONE, "--checkpoint", large, "--precision", "fp16", "--unverified", "--out", "old")
    resnas("export", *ONE, "--checkpoint", DEMO, "--precision", "fp16", "--out", "good")
    good = open_artifact(tmp_path / "good").manifest.verification
    old = open_artifact(tmp_path / "old")
    seal(replace(old, manifest=replace(old.manifest, verification=replace(good, own=None))))
    return "old"


def test_an_artifact_of_before_is_marked_and_caught(resnas, refused, believed):
    assert resnas("inspect", believed).out.startswith("large fp16 32 (not verified in fp16 arithmetic)")
    line = refused("verify", *ONE, believed, code=3)
    assert "in the element stage3.block2, at stage3.block2.attention.scores (Attention)" in line


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None, reason="tensorrt_rtx is missing")
def test_an_engine_of_it_is_not_built_in_silence(resnas, believed):
    note = resnas("build", believed).err
    assert note == (
        "resnas: note: the engine is made of an artifact that is marked not verified in fp16 arithmetic; "
        "check it with: resnas verify old\n"
    )


def test_predictions_of_no_number_are_not_shown(refused, resnas, tmp_path):
    """The last block's sum is infinite in float16 on any runtime."""
    checkpoint = with_larger(tmp_path, "stage3.block2.mlp.fc2.weight", 2e5)
    resnas("export", *ONE, "--checkpoint", checkpoint, "--precision", "fp16", "--unverified", "--out", "out")
    line = refused("predict", *ONE, "out", CAT, code=3)
    assert "must be finite, found NaN or infinity from large fp16 32 (UNVERIFIED) on ort-cpu" in line
    assert "resnas verify out" in line
