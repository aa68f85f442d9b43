"""No graph is verified that leaves the range of its own type, whatever a runtime here makes of it."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from support.places import DEMO
from support.small_export import request

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.creating import seal
from resnas_deploy.artifact.headroom import MARGIN, Peak
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting.arithmetic.check import in_own_arithmetic, out_of_room
from resnas_deploy.exporting.arithmetic.runner import OwnRunner, computing_in_own
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.fp8 import not_below
from resnas_deploy.exporting.reference import reference_logits
from resnas_deploy.exporting.unchanged import unchanged
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.exporting.verify import verify
from resnas_deploy.graph.spelling import GEMM, SPELLINGS
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained

ORT = RUNNERS["ort-cpu"]
LAST = "stage3.block2"


@cache
def demo():
    return load(DEMO)


def larger(scales, checkpoint=None):
    """The demo network with some of its tensors multiplied."""
    checkpoint = checkpoint or demo()
    tensors = {name: np.array(values) for name, values in checkpoint.tensors.items()}
    for name, (rows, scale) in scales.items():
        tensors[name][rows] *= np.float32(scale)
    return Checkpoint(checkpoint.arch, tensors, checkpoint.provenance, checkpoint.task)


def query_and_key(scale):
    """Larger queries and keys of the last block, of few tokens: nothing but its attention's scores is."""
    block = demo().arch.stages[-1].blocks[-1]
    rows = slice(0, 2 * block.inner)
    return {f"{LAST}.attention.qkv.{part}": (rows, scale) for part in ("weight", "bias")}


ALL = slice(None)
SCORES = larger(query_and_key(300))
OVERFLOWS = {  # element: what is made larger in it
    "stem": {"stem.bn1.weight": (ALL, 300.0), "stem.bn3.weight": (ALL, 300.0)},
    "stage1.block1": {"stage1.block1.mlp.fc1.weight": (ALL, 2e5)},
    "stage2.block1": {"stage2.block1.attention.projection.weight": (ALL, 1e5)},
    "reduction1": {"reduction1.conv.weight": (ALL, 2e5)},
    "reduction2": {"reduction2.class_linear.weight": (ALL, 2e5)},
    "stage3.block2": {"stage3.block2.mlp.fc2.weight": (ALL, 2e5)},
    "head": {"head.linear.weight": (ALL, 5e4)},
}


def run(folder, checkpoint, **changes):
    wanted = request(folder, **{"precision": "fp16", "threads": 1, "calibration_images": 16} | changes)
    return export(lambda: checkpoint, wanted, lambda _: None)


def refused(folder, checkpoint, **changes):
    """The failure of an export that must leave nothing."""
    with pytest.raises(VerificationFailed) as caught:
        run(folder, checkpoint, **changes)
    assert not list(folder.iterdir())
    assert str(caught.value).isprintable()
    return caught.value


@pytest.mark.parametrize("align", [1, 32])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_scores_beyond_float16_are_refused_in_every_spelling(tmp_path, spelling, align):
    """A runtime that computes attention in float32 sees nothing of it."""
    found = refused(tmp_path, SCORES, spelling=SPELLINGS[spelling], align=align)
    if align == 1 and SPELLINGS[spelling].linears != GEMM:  # whose products ONNX Runtime rounds to float16
        assert found.report.error <= found.report.tolerance, "the runtime here finds nothing wrong"
    assert f"in the element {LAST}, at {LAST}.attention" in str(found)
    assert ".scores (" in str(found)
    assert str(found).endswith("export with `precision` bf16 or fp32")
    assert found.report.own.headroom[LAST] > 1
    assert not found.report.passed


@pytest.mark.parametrize("element", OVERFLOWS)
@pytest.mark.parametrize("spelling", ["operator+views", "packed+grid"])
def test_an_overflow_is_named_by_its_element(tmp_path, element, spelling):
    found = refused(tmp_path, larger(OVERFLOWS[element]), spelling=SPELLINGS[spelling])
    own = found.report.own
    assert own.beyond == element
    assert f"in the element {element}, at {element}." in str(found)
    assert own.headroom[element] > 1


@pytest.mark.parametrize("precision", ["int8", "fp8"])
@pytest.mark.parametrize("scales", [query_and_key(300), OVERFLOWS["reduction1"]], ids=["scores", "reduction1"])
def test_what_is_around_int8_and_fp8_has_a_range_too(tmp_path, precision, scales):
    """The scores are not quantised; and a range beyond float16, calibrated in float32, makes no infinite step."""
    found = refused(tmp_path, larger(scales), precision=precision, for_engine=True)
    assert f"in the element {next(iter(scales)).partition('.attention')[0].partition('.conv')[0]}, " in str(found)
    assert found.report.own.type == "fp16"


def test_what_is_too_near_to_the_end_is_refused(tmp_path):
    """All is finite and right in float16, but other images than these have no room."""
    found = refused(tmp_path, larger({"stage1.block1.mlp.fc1.weight": (ALL, 3e4)}))
    own = found.report.own
    assert own.error <= own.tolerance
    assert MARGIN < own.headroom["stage1.block1"] < 1
    assert "no result may be above 25.00% of its largest number, 65504, found " in str(found)
    assert "at stage1.block1.mlp.fc1.matmul (MatMul)" in str(found)
    nearly = larger({"stage1.block1.mlp.fc1.weight": (ALL, 1e4)})
    manifest = run(tmp_path, nearly).manifest
    assert 0.1 < manifest.verification.own.headroom["stage1.block1"] <= MARGIN
    assert manifest.label == "test fp16 32"


def test_an_error_in_the_graphs_own_type_alone_is_refused(tmp_path, monkeypatch):
    """As where a value is rounded to nothing that a wider runtime keeps."""
    monkeypatch.setattr("resnas_deploy.exporting.verify.tolerance_of", lambda _: 0.9)  # of the runtime
    monkeypatch.setattr("resnas_deploy.exporting.arithmetic.check.tolerance_of", lambda _: 1e-5)
    found = refused(tmp_path, demo())
    assert "must compute in fp16 arithmetic what the module computes" in str(found)
    assert "the first element that differs is stem (error " in str(found)


@pytest.mark.parametrize(("precision", "around"), [("fp16", "fp16"), ("bf16", "bf16"), ("int8", "fp32")])
def test_a_good_network_has_its_headroom_in_the_manifest(tmp_path, precision, around):
    runner = RUNNERS["openvino" if precision == "bf16" else "ort-cpu"]
    run(tmp_path, demo(), precision=precision, verify_on=runner, data="")
    manifest = open_artifact(tmp_path / "out").manifest
    own = manifest.verification.own
    assert (own.type, own.margin, manifest.type) == (around, MARGIN, around)
    assert list(own.peaks) == [*list(own.peaks)[:-1], "head"]
    assert len(own.peaks) == 1 + 7 + 2 + 1
    assert all(0 < share < 0.01 for share in own.headroom.values())
    assert 0 < own.error <= own.tolerance


def test_float32_needs_no_other_arithmetic(tmp_path):
    manifest = run(tmp_path, demo(), precision="fp32").manifest
    assert manifest.verification.own is None
    assert manifest.doubt == ""


def as_before(folder, checkpoint):
    """An artifact as it was written when nothing looked at its own type: verified on a runtime that widens."""
    artifact = run(folder, checkpoint, verify_on=None)
    good = run(folder, demo(), out=folder / "good").manifest.verification
    manifest = replace(artifact.manifest, verification=replace(good, own=None))
    return seal(replace(artifact, manifest=manifest))


def test_an_old_artifact_opens_says_what_it_lacks_and_is_caught(tmp_path):
    old = as_before(tmp_path, SCORES)
    opened = open_artifact(old.folder)
    assert b"own_arithmetic" not in (old.folder / "manifest.json").read_bytes()
    assert opened.manifest.doubt == "not verified in fp16 arithmetic"
    assert opened.label == "test fp16 32 (not verified in fp16 arithmetic)"
    with pytest.raises(VerificationFailed, match=r"in the element stage3\.block2"):
        verify(opened, ORT, 1, lambda _: None)


def test_an_old_artifact_is_not_taken_for_what_an_export_would_write(tmp_path):
    as_before(tmp_path, demo())
    wanted = request(tmp_path, precision="fp16", threads=1)
    assert unchanged(lambda: demo(), wanted, lambda _: None) is None
    run(tmp_path, demo(), force=True)
    assert unchanged(lambda: demo(), wanted, lambda _: None)


def test_a_failed_one_that_is_kept_says_so(tmp_path):
    with pytest.raises(VerificationFailed):
        run(tmp_path, SCORES, keep_failed=True)
    kept = open_artifact(tmp_path / "out.failed").manifest
    assert kept.doubt == "FAILED VERIFICATION"
    assert kept.verification.error <= kept.verification.tolerance
    assert kept.verification.own.beyond == LAST


def test_accuracy_is_counted_in_the_graphs_own_type(tmp_path):
    """By the runtime itself where it computes in that type, or where the type is float32."""
    engine = run(tmp_path, demo(), precision="fp8", verify_on=None)
    counted_on = computing_in_own(engine, ORT)
    with counted_on.open(engine, Options(1)) as runner:
        assert isinstance(runner, OwnRunner)
    on_gpu = RUNNERS["tensorrt"]
    assert computing_in_own(engine, on_gpu) is on_gpu
    for_cpu = run(tmp_path, demo(), precision="int8", verify_on=None, out=tmp_path / "int8")
    assert computing_in_own(for_cpu, ORT) is ORT


def test_a_step_of_fp8_is_never_rounded_to_nothing():
    """Steps of int8 are rescaled, and float16 ends at 6e-08: a step of 0 would make every value infinite."""
    steps = np.array([1e-9, 5e-8, 8e-8, 3.3e-6, 0.01], np.float32)
    found = not_below(steps, np.dtype(np.float16))
    assert found.dtype == np.float16
    assert (found > 0).all()
    assert (found[:4].astype(np.float32) >= steps[:4]).all(), "or the largest weights would be cut off"
    assert found[4] == np.float16(0.01)


def test_what_is_no_number_is_said_so(tmp_path):
    own = run(tmp_path, demo()).manifest.verification.own
    found = replace(own, peaks={**own.peaks, "head": Peak(None, "head.norm (LayerNormalization)")})
    assert out_of_room(found) == (
        "the graph must leave room in fp16: no result may be above 25.00% of its largest number, 65504, "
        "found NaN or infinity in the element head, at head.norm (LayerNormalization); "
        "export with `precision` bf16 or fp32"
    )


@pytest.mark.slow
def test_it_takes_a_few_times_what_the_reference_takes(tmp_path):
    """By this process's own time, which a busy machine does not lengthen much."""
    artifact = export(
        lambda: untrained(PUBLISHED["tiny"].arch), request(tmp_path, precision="fp16", verify_on=None), lambda _: None
    )
    images = verification_inputs(artifact.manifest.preprocessing).images
    torch.set_num_threads(1)
    reference_logits(load(artifact.weights), images[:1])
    began = time.process_time()
    reference = reference_logits(load(artifact.weights), images)
    between = time.process_time()
    in_own_arithmetic(artifact, images, reference)
    assert time.process_time() - between < 10 * (between - began)
