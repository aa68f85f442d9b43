"""Warnings ignored by several threads at once: the filters are as before when the last of them goes."""

from __future__ import annotations

import warnings
from threading import Barrier, Thread

import pytest

from resnas_deploy.processes.unwarned import unwarned


def test_filters_come_back_whatever_the_order_that_threads_leave_in():
    """The first to come leaves first: `catch_warnings` in each would leave the second's filters, which ignore all."""
    came, left = Barrier(2), Barrier(2)
    before = list(warnings.filters)

    def first():
        with unwarned():
            came.wait(10)
        left.wait(10)

    def second():
        came.wait(10)  # within the first's block only if it comes before it
        with unwarned():
            left.wait(10)

    def overlapping():
        with unwarned():
            came.wait(10)
            left.wait(10)

    for pair in ((first, overlapping), (overlapping, first), (first, second)):
        threads = [Thread(target=each) for each in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert list(warnings.filters) == before


def test_nothing_is_raised_within_and_all_is_after():
    """Under `error`, as tests are."""
    with unwarned(), unwarned():
        warnings.warn("in two", UserWarning, stacklevel=1)
    with pytest.raises(KeyError), unwarned():
        raise KeyError
    with pytest.raises(UserWarning, match="after"):
        warnings.warn("after", UserWarning, stacklevel=1)
