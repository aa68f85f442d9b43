"""A plan is checked before anything is loaded."""

from __future__ import annotations

import pytest
from support.checks import refusal
from support.made_up_measuring import plan

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.plan import MOST_STREAMS
from resnas_deploy.runners.registry import RUNNERS

CPU = RUNNERS["ort-cpu"]


@pytest.fixture(scope="module")
def network(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.mark.parametrize("batch", [0, -1, 9, 4096])
def test_a_batch_outside_the_range(network, batch):
    message = refusal(lambda: plan(network, CPU, batches=(1, batch)))
    assert f"{network.source}: the batch must lie in the artifact's range 1:8, found {batch}" in message


def test_a_fixed_batch(untrained_artifact):
    fixed = open_artifact(untrained_artifact(batch="4"))
    assert "range 4, found 1" in refusal(lambda: plan(fixed, CPU, batches=(1,)))
    assert plan(fixed, CPU, batches=(4,)).batches == (4,)


@pytest.mark.parametrize("value", [0, -3])
@pytest.mark.parametrize("field", ["runs", "openings", "threads"])
def test_counts(network, field, value):
    assert f"`{field}` must be at least 1, found {value}" in refusal(lambda: plan(network, CPU, **{field: value}))


@pytest.mark.parametrize("value", [0, -1, MOST_STREAMS + 1, 10**9])
def test_streams(network, value):
    message = refusal(lambda: plan(network, CPU, streams=(1, value)))
    assert message == f"`streams` must be from 1 to {MOST_STREAMS}, found {value}"


def test_fewer_runs_than_openings(network):
    assert "as many as `openings`, 6, found 5" in refusal(lambda: plan(network, CPU, runs=5, openings=6))


@pytest.mark.parametrize(("runs", "openings", "rounds"), [(4, 2, [2, 2]), (7, 3, [3, 2, 2]), (3, 3, [1, 1, 1])])
def test_rounds_of_each_opening(network, runs, openings, rounds):
    found = plan(network, CPU, runs=runs, openings=openings)
    assert [found.rounds(number) for number in range(openings)] == rounds


def test_a_precision_without_kernels(untrained_artifact):
    artifact = open_artifact(untrained_artifact("bf16"))
    assert "must have kernels for bf16" in refusal(lambda: plan(artifact, CPU))


@pytest.mark.skipif(RUNNERS["torch"].problem("cuda:7") is None, reason="there are 8 GPUs")
@pytest.mark.parametrize("device", ["cuda:7", "cuda:9999"])
def test_a_gpu_that_is_not_here(network, device):
    with pytest.raises(NotAvailable):
        plan(network, RUNNERS["torch"], device=device)


@pytest.mark.parametrize("device", ["cuda", "cuda:-1", "tpu", "cpu:1"])
def test_a_device_that_the_runner_never_uses(network, device):
    assert "the device of the runner ort-cpu must be cpu" in refusal(lambda: plan(network, CPU, device=device))
