"""Measuring artifacts on runtimes: the plan is checked before anything is loaded, and done as it says."""

from __future__ import annotations

import pytest
from strategies import refusal

from resnas_deploy.artifact import open_artifact
from resnas_deploy.bench.session import Plan, measure
from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners.registry import RUNNERS


def plan(folder, **changes):
    values = {
        "artifacts": (open_artifact(folder),),
        "runners": (RUNNERS["ort-cpu"], RUNNERS["openvino"]),
        "batches": (1, 2),
        "runs": 3,
        "warm_up": 1,
        "threads": 2,
    }
    return Plan(**values | changes)


def test_every_artifact_on_every_runner_at_every_batch_size(mini_artifact, untrained_artifact):
    other = open_artifact(untrained_artifact())
    told = []
    wanted = plan(mini_artifact, artifacts=(open_artifact(mini_artifact), other), runs=4)
    found = measure(wanted, told.append)
    assert [(item.label, item.runner, item.batch) for item in found] == [
        (label, runner, batch)
        for label in ("mini fp32 112", "test fp32 112 (untrained weights, UNVERIFIED)")
        for runner in ("ort-cpu", "openvino")
        for batch in (1, 2)
    ]
    assert found[0].artifact == str(mini_artifact)
    assert found[0].model_sha256 == wanted.artifacts[0].manifest.files["model.onnx"]
    for item in found:
        assert len(item.samples) == 4
        assert all(0 < sample < 10 for sample in item.samples)
        assert item.warm_up == 1
        assert item.version.split()[0] in ("onnxruntime", "openvino")
        assert "2 threads" in item.boundary
    assert told[:4] == [f"loading {label} on {runner}" for label, runner, batch in _loaded(found) if batch == 1]
    assert told[4:] == [f"round {number} of 5, each of 8 configurations" for number in range(1, 6)]


def _loaded(found):
    return [(item.label, item.runner, item.batch) for item in found]


@pytest.mark.parametrize("batch", [0, 9, 4096])
def test_a_batch_outside_the_range(mini_artifact, batch):
    message = refusal(lambda: plan(mini_artifact, batches=(1, batch)))
    assert f"range 1:8, found {batch}" in message
    assert str(mini_artifact) in message


def test_a_fixed_batch(untrained_artifact):
    folder = untrained_artifact(batch="4")
    assert "range 4, found 1" in refusal(lambda: plan(folder, batches=(1,)))
    (found,) = measure(plan(folder, batches=(4,), runners=(RUNNERS["ort-cpu"],)), lambda _: None)
    assert found.batch == 4


@pytest.mark.parametrize(("field", "value"), [("runs", 0), ("runs", -3), ("warm_up", -1)])
def test_counts(mini_artifact, field, value):
    message = refusal(lambda: plan(mini_artifact, **{field: value}))
    assert f"{field.replace('_', '-')} must be at least" in message
    assert f"found {value}" in message


def test_a_precision_without_kernels(untrained_artifact):
    folder = untrained_artifact("bf16")
    assert "bf16" in refusal(lambda: plan(folder))


@pytest.mark.skipif(RUNNERS["ort-cuda"].problem() is None, reason="CUDA is here")
def test_a_runner_that_is_not_here(mini_artifact):
    with pytest.raises(NotAvailable):
        plan(mini_artifact, runners=(RUNNERS["ort-cuda"],))
