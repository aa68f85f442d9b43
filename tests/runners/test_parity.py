"""Every runtime gives the same logits, at every batch size, in a run and in what is timed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from support.networks import golden_arrays
from support.small_export import SMALL

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

OPTIONS = Options(threads=2)
COMPILED = {"torch-compile", "torch-compile-max", "aoti"}  # take long to open: test_compiled.py
HERE = [name for name, kind in RUNNERS.items() if kind.problem() is None and name not in COMPILED]
TOLERANCES = {"openvino-bf16": 8e-2}  # of those that compute an fp32 graph in less
BATCHES = (1, 2, 3, 8)


def tolerance(name):
    return TOLERANCES.get(name, 1e-5)


def test_what_must_be_here():
    assert {"torch", "ort-cpu", "openvino"} <= set(HERE)


@pytest.mark.parametrize("name", HERE)
def test_the_reference_logits(artifact, near, name):
    golden = golden_arrays("vit_search_mini.npz")
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        found = runner.run(golden["images"])[OUTPUT]
    near(found, golden["logits"], tolerance(name))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", HERE)
def test_the_same_logits_on_every_runner_at_every_batch_size(artifact, images, expected, near, name, batch):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        for start in range(0, len(images) - batch + 1, batch):
            logits = runner.run(images[start : start + batch])[OUTPUT]
            assert (logits.shape, logits.dtype) == ((batch, 10), np.float32)
            near(logits, expected[start : start + batch], tolerance(name))


@pytest.mark.parametrize(
    ("name", "precision", "within"),
    [
        ("ort-cpu", "fp16", 1e-2),
        ("openvino", "fp16", 1e-2),
        ("openvino", "bf16", 8e-2),
        ("openvino-bf16", "bf16", 8e-2),
        ("openvino-bf16", "fp32", 8e-2),
        ("torch", "fp16", 1e-2),
        ("torch", "bf16", 8e-2),
    ],
)
def test_lower_precisions(untrained_artifact, near, name, precision, within):
    if name not in HERE:
        pytest.skip(f"{name} is not here")
    wanted, artifact = open_artifact(untrained_artifact()), open_artifact(untrained_artifact(precision))
    size = SMALL.image_size
    images = np.random.default_rng(1).standard_normal((4, 3, size, size), dtype=np.float32)
    with RUNNERS["torch"].open(wanted, OPTIONS) as reference, RUNNERS[name].open(artifact, OPTIONS) as runner:
        logits, expected = runner.run(images)[OUTPUT], reference.run(images)[OUTPUT]
    assert logits.dtype == np.float32
    near(logits, expected, within)
    assert (logits != expected).any()  # it did compute in less than fp32


@pytest.mark.parametrize("name", HERE)
def test_a_network_of_one_batch_size(untrained_artifact, near, name):
    artifact = open_artifact(untrained_artifact(batch="3"))
    images = np.random.default_rng(2).standard_normal((3, 3, SMALL.image_size, SMALL.image_size), dtype=np.float32)
    with RUNNERS["torch"].open(artifact, OPTIONS) as reference, RUNNERS[name].open(artifact, OPTIONS) as runner:
        near(runner.run(images)[OUTPUT], reference.run(images)[OUTPUT], tolerance(name))


@pytest.mark.parametrize("name", HERE)
def test_a_step_returns_when_the_work_is_done_again_and_again(artifact, images, expected, near, name):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        steps = {batch: runner.step(images[:batch]) for batch in (1, 4)}
        for batch in (4, 1, 1, 4, 1):
            near(logits_of(steps[batch]()), expected[:batch], tolerance(name))
        near(runner.run(images[:2])[OUTPUT], expected[:2], tolerance(name))  # and a run in between is no harm
        near(logits_of(steps[4]()), expected[:4], tolerance(name))


def logits_of(result):
    """The logits in what a runtime's own call returns: a tensor, a list or a mapping of outputs."""
    if isinstance(result, list):
        (result,) = result
    elif hasattr(result, "values"):
        (result,) = result.values() if not hasattr(result, "detach") else (result,)
    return np.asarray(result)


@pytest.mark.parametrize("name", HERE)
def test_logits_stay_when_the_next_batch_runs(artifact, images, expected, near, name):
    with RUNNERS[name].open(artifact, OPTIONS) as runner:
        first = runner.run(images[:2])[OUTPUT]
        runner.run(images[2:4])
    near(first, expected[:2], tolerance(name))


@pytest.mark.parametrize("name", ["ort-cpu", "openvino"])
def test_another_graph_in_place_of_the_artifacts(artifact, images, name):
    probed = onnx.load(artifact.model)
    probed.graph.output.append(onnx.helper.make_tensor_value_info("stem", onnx.TensorProto.FLOAT, None))
    with RUNNERS[name].open(artifact, replace(OPTIONS, model=probed.SerializeToString())) as runner:
        outputs = runner.run(images[:2])
    assert set(outputs) == {OUTPUT, "stem"}
    assert outputs["stem"].shape == (2, 65, 32)
