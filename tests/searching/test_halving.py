"""Successive halving: who goes on is decided on the same images, and a run that was killed goes on as it would have."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from support.wide_search import EVOLUTION, TOTAL, InParts, search, searched

from resnas_deploy.searching.costs import CostLimits
from resnas_deploy.searching.halving import steps

HALVED = search(halving=True)


def test_the_steps_are_a_fifth_two_and_all():
    assert steps(1000) == (200, 400, 1000)
    assert steps(4) == (1, 2, 4)
    assert steps(1) == (1,)


def test_half_goes_on_to_twice_the_images_and_those_are_the_better(tmp_path):
    pool = InParts()
    found = searched(tmp_path / "s.sqlite", HALVED, pool)
    first = [item for item in found.candidates if item.iteration == 0]
    assert [sum(item.score.seen == images for item in first) for images in steps(TOTAL)] == [15, 7, 8]
    assert HALVED.images == pool.images == found.images == sum(item.score.seen for item in found.candidates)
    assert found.images < 0.5 * TOTAL * len(found.candidates)
    whole, behind = ([item for item in first if item.score.seen == images] for images in (TOTAL, 200))
    qualities = [np.mean([item.costs[0] for item in group]) for group in (whole, behind)]  # its pool likes what is wide
    assert qualities[0] > qualities[1]
    assert all(item.score.stopped == (item.score.seen < TOTAL) for item in found.candidates)
    assert not found.best[0].score.stopped


def test_all_that_are_scored_see_the_same_first_images(tmp_path):
    found = searched(tmp_path / "s.sqlite", HALVED, InParts())
    (alone,) = InParts().scores([found.best[0].subnet], None)
    assert found.best[0].score == alone


@cache
def uncut(problem):
    with TemporaryDirectory() as folder:
        return searched(Path(folder, "s.sqlite"), problem, InParts())


TWO = replace(HALVED, evolution=replace(EVOLUTION, iterations=2))
PREDICTED = replace(TWO, limits=CostLimits(()), predictor=True, evolution=replace(TWO.evolution, first=60, mutated=15))


@pytest.mark.parametrize(
    ("problem", "stop"),
    [*((TWO, stop) for stop in (1, 29, 30, 31, 45, 53, 54, 73, 85)), (PREDICTED, 25), (PREDICTED, 40)],
)
def test_a_halved_search_that_was_stopped_goes_on_to_the_same(tmp_path, problem, stop):
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "cut.sqlite", problem, InParts(stop))
    second = InParts()
    assert searched(tmp_path / "cut.sqlite", problem, second) == uncut(problem)
    assert second.images <= uncut(problem).images


def test_a_halved_pareto_search_keeps_a_front_of_those_that_saw_all(tmp_path):
    problem = replace(HALVED, limits=CostLimits(()), evolution=replace(EVOLUTION, pareto=True))
    found = searched(tmp_path / "s.sqlite", problem, InParts())
    assert len(found.best) > 3
    assert all(item.score.seen == TOTAL for item in found.best)
    ends = [item.costs[0] for item in (found.best[0], found.best[-1])]
    reached = [item.costs[0] for item in found.candidates]
    assert ends[0] < np.quantile(reached, 0.2)  # cheap ones are not left behind for being less accurate
    assert ends[1] > np.quantile(reached, 0.8)


def test_the_same_search_without_it_is_another_one():
    assert len({search(**ways).identity for ways in ({}, {"halving": True}, {"predictor": True})}) == 3
    assert "halving" not in search().identity  # so that a search of an earlier version goes on
