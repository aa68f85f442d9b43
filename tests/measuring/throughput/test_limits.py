"""Which settings there are: bounded on any machine, and within what a network takes."""

from __future__ import annotations

import pytest

from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.plan import MOST_STREAMS, ThroughputSetting
from resnas_deploy.measuring.throughput.limits import Choices, Limits, batches_for


@pytest.mark.parametrize(
    ("cores", "streams"),
    [
        (1, (1, 2)),
        (2, (1, 2, 3, 4)),
        (5, (1, 2, 3, 4, 5, 6, 8)),
        (8, (1, 2, 3, 4, 6, 8, 12, 16)),
        (1000, (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, MOST_STREAMS)),
    ],
)
def test_streams_go_beyond_the_cores_and_are_bounded(cores, streams):
    assert Choices(cores, (1,)).streams() == streams


def test_threads_are_an_equal_share_first():
    choices = Choices(8, (1, 2))
    assert choices.threads(2) == (4, 2, 8)
    assert choices.threads(1) == (8, 4)
    assert choices.threads(16) == (1, 2)
    assert Choices(1, (1,)).threads(1) == (1,)


def test_threads_of_the_cpu_do_not_matter_on_a_gpu():
    choices = Choices(8, (1,), on_gpu=True)
    assert choices.threads(2) == (4,)
    assert choices.streams() == (1, 2, 3, 4, 6, 8)


@pytest.mark.parametrize(
    ("taken", "named", "batches"),
    [
        ((1, 64), (), (1, 2, 4, 8, 16, 32, 64)),
        ((1, 4096), (), (1, 2, 4, 8, 16, 32, 64, 128, 256)),
        ((3, 20), (), (3, 4, 8, 16)),
        ((8, 8), (), (8,)),
        ((5, 5), (), (5,)),
        ((1, 64), (6, 3), (3, 6)),
    ],
)
def test_batches_are_powers_of_two_that_the_network_takes(taken, named, batches):
    assert batches_for(BatchRange(*taken), named) == batches


def test_it_begins_near_eight():
    assert Choices(2, (1, 2, 4, 8, 16)).first_batch == 8
    assert Choices(2, (1, 2)).first_batch == 2
    assert Choices(2, (100,)).first_batch == 100
    assert Choices(2, (3, 6)).one == ThroughputSetting(1, 2, 3)


@pytest.mark.parametrize("minutes", [0, -1, float("inf"), float("nan")])
def test_minutes(minutes):
    with pytest.raises(BadInput, match=r"^`minutes` must be more than 0, found "):
        Limits(minutes)


@pytest.mark.parametrize("limit", [0, -5, float("inf")])
def test_a_latency_limit(limit):
    with pytest.raises(BadInput, match=r"^`latency_limit` must be more than 0 ms, found "):
        Limits(1, limit)
