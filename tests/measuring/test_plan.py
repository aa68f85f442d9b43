"""A plan is checked before anything is loaded."""

from __future__ import annotations

import pytest
from support.checks import refusal
from support.made_up_measuring import plan

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.plan import MOST_RUNS, MOST_STREAMS, Effort, Subject, runners_for
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS

CPU = RUNNERS["ort-cpu"]


@pytest.fixture(scope="module")
def network(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.mark.parametrize("batch", [0, -1, 9, 4096])
def test_a_batch_outside_the_range(network, batch):
    message = refusal(lambda: plan(network, CPU, batches=(1, batch)))
    assert f"{network.source}: the batch must lie in the graph's range 1:8, found {batch}" in message


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


def test_what_is_usual(network):
    found = Effort().plan([Subject(network, CPU)])
    assert (found.batches, found.streams, found.openings) == ((1, 8), (1,), 6)
    assert found.threads == usable_cores()
    assert Effort(runs=4).plan([Subject(network, CPU)]).openings == 4
    assert Effort().plan([Subject(network, CPU)], [2, 2], [1, 2, 1]).batches == (2,)


def test_batches_that_every_network_takes(network, untrained_artifact):
    def usual(*batches):
        others = [open_artifact(untrained_artifact(batch=batch)) for batch in batches]
        return Effort().plan([Subject(other, CPU) for other in others]).batches

    assert usual("1:8", "2:8") == (8,)
    assert usual("3") == (3,)
    assert usual("1:8", "4") == usual("4", "1:8") == (4,)
    assert "must lie in the graph's range 2, found 4" in refusal(lambda: usual("4", "2"))


def test_too_few_openings_for_an_interval_and_too_many_runs(network):
    subjects = [Subject(network, CPU)]
    for effort in (Effort(openings=1), Effort(runs=1)):
        message = refusal(lambda effort=effort: effort.plan(subjects, least_openings=2))
        assert message == "`openings` must be at least 2 for an interval, found 1; give more `runs` or `openings`"
    assert "at most 100000" in refusal(lambda: Effort(runs=MOST_RUNS + 1).plan(subjects))


def test_runners_by_name_or_the_first_that_can(network, untrained_artifact):
    assert [kind.name for kind in runners_for(["openvino", "torch", "openvino"], [network])] == ["openvino", "torch"]
    assert runners_for([], [network])[0].name == "ort-cpu"
    assert runners_for([], [network, open_artifact(untrained_artifact("bf16"))])[0].name == "openvino"
