"""What is made ahead of what is asked for: so much and no more, in order, and nothing stays behind."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from support.processes import wait_for
from training.test_image_workers import Making, mine

from resnas_deploy.training.ahead import made_ahead
from resnas_deploy.training.image_workers import AHEAD, made_in_order


def counted(upto, taken):
    for number in range(upto):
        taken.append(number)
        yield number


def settled(taken):
    """How many there are once there come no more."""
    before = -1
    while len(taken) > before:
        before = len(taken)
        time.sleep(0.5)
    return before


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "made ahead"]


def test_all_come_in_order():
    assert list(made_ahead(lambda _: iter(range(50)), 2)) == list(range(50))
    assert threads() == []


def test_no_more_are_made_than_are_to_be_ready():
    taken = []
    with closing(made_ahead(lambda _: counted(1000, taken), 3)) as found:
        next(found)
        wait_for(lambda: len(taken) == 1 + 3 + 1)  # given, ready, and the one that waits to be
        assert settled(taken) == 5


def test_no_more_are_asked_of_workers_than_they_may_have():
    taken = []
    with closing(made_in_order(Making(), counted(1000, taken), 2)) as found:
        next(found)
        assert len(taken) <= 1 + 2 * AHEAD
        for _ in range(20):
            next(found)
        assert len(taken) <= 21 + 2 * AHEAD


def test_what_is_raised_there_is_raised_here():
    def failing():
        yield 1
        raise ValueError("of the thread")

    found = made_ahead(lambda _: failing(), 2)
    assert next(found) == 1
    with pytest.raises(ValueError, match="of the thread"):
        next(found)
    assert threads() == []


def test_whoever_stops_early_leaves_nothing_behind():
    closed = []

    def source(stopped):
        try:
            while not stopped():
                yield 1
        finally:
            closed.append(True)

    found = made_ahead(source, 2)
    next(found)
    found.close()
    assert closed == [True]
    assert threads() == []


def test_workers_that_are_waited_for_are_gone_once_nobody_waits():
    """The thread is in the middle of waiting for one that takes for ever."""
    found = made_ahead(lambda stopped: made_in_order(Making(1, "stop"), range(100), 1, stopped), 2)
    next(found)
    found.close()
    assert mine() == []
    assert threads() == []
