"""The regression from a subnet's dimensions to its accuracy, and the search that it chooses for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.mini_space import MINI
from support.small_data import SPACE
from support.wide_search import EVOLUTION, TOTAL, Lucky, late, search, searched

from resnas_deploy.arch.cost import macs
from resnas_deploy.searching.candidate import Candidate, Score, canonical
from resnas_deploy.searching.costs import CostLimits
from resnas_deploy.searching.predictor import FEWEST, fitted

PREDICTED = search(limits=CostLimits(()), predictor=True, evolution=replace(EVOLUTION, iterations=3, first=60))


def drawn(count, seed=0):
    rng = np.random.default_rng(seed)
    return [canonical(MINI.sample(rng), MINI.widest()) for _ in range(count)]


def scored(subnets, noise=0.0, seed=1):
    """Wider is better, later stages more so; each dropped block costs a point."""
    rng = np.random.default_rng(seed)
    found = []
    for subnet in subnets:
        widths = sum((1 + place) * stage.width for place, stage in enumerate(subnet.full.stages))
        dropped = sum(not keep for flags in subnet.kept for keep in flags)
        right = 0.5 + 0.001 * widths - 0.01 * dropped + rng.normal(0, noise)
        found.append(Candidate(subnet, Score(round(right * 100_000), 100_000), (), 0))
    return found


def guessing(found, images):
    """The same with scores that say nothing, of so many images."""
    counts = np.random.default_rng(5).integers(images, size=len(found))
    return [replace(item, score=Score(int(right), images)) for item, right in zip(found, counts, strict=True)]


def test_it_learns_what_is_linear_and_orders_what_it_has_not_seen():
    found = scored(drawn(80))
    predictor = fitted(found)
    assert predictor.left_out > 0.99
    new = scored(drawn(50, seed=2))
    predicted = predictor.accuracies([item.subnet for item in new])
    assert predicted == pytest.approx([item.score.accuracy for item in new], abs=1e-3)


def test_it_learns_what_a_mixer_is_worth():
    """Of subnets that are alike but for the mixers of a stage whose blocks are all kept."""
    stages = [replace(stage, droppable=()) for stage in MINI.stages]
    space = replace(MINI, stages=(replace(stages[0], mixers=("global", "window4", "pooled2")), *stages[1:]))
    worth, wide = {"global": 0.0, "window4": -0.01, "pooled2": 0.02}, space.widest()
    subnets = []
    for seed in range(60):
        blocks = space.sample(np.random.default_rng(seed)).full.stages[0].blocks
        own = tuple(
            replace(block, mixer=each.mixer) for block, each in zip(wide.arch.stages[0].blocks, blocks, strict=True)
        )
        first = replace(wide.full.stages[0], blocks=own)
        subnets.append(replace(wide, full=replace(wide.full, stages=(first, *wide.full.stages[1:]))))
    right = [0.5 + sum(worth[block.mixer] for block in subnet.full.stages[0].blocks) for subnet in subnets]
    found = [
        Candidate(*each, (), 0) for each in zip(subnets, (Score(round(r * 1e6), 10**6) for r in right), strict=True)
    ]
    predictor = fitted(found[:40])
    assert predictor.accuracies(subnets[40:]) == pytest.approx(right[40:], abs=2e-3)


def test_left_out_is_what_fits_to_the_others_predict():
    """Each such fit chooses how much it shrinks, so that the orders are near, and not the same."""
    found = scored(drawn(40), noise=0.02)
    others = [found[:place] + found[place + 1 :] for place in range(len(found))]
    predicted = [fitted(rest).accuracies([item.subnet])[0] for rest, item in zip(others, found, strict=True)]
    brute = stats.spearmanr(predicted, [item.score.accuracy for item in found]).statistic
    assert fitted(found).left_out == pytest.approx(brute, abs=0.15)
    assert abs(fitted(guessing(found, 1000)).left_out) < 0.5


def test_a_score_on_few_images_counts_less():
    found, few = scored(drawn(60)), guessing(scored(drawn(60, seed=3)), 10)
    new = drawn(50, seed=4)
    assert fitted(found + few).accuracies(new) == pytest.approx(fitted(found).accuracies(new), abs=2e-3)


def test_there_is_none_of_too_few_or_of_equal_scores():
    found = scored(drawn(FEWEST))
    assert fitted(found) is not None
    assert fitted(found[:-1]) is None
    assert fitted([replace(item, score=Score(1, 2)) for item in found]) is None
    assert fitted([]) is None


def test_a_search_scores_a_third_and_finds_as_good_a_subnet(tmp_path):
    pool, plain = Lucky(quality=late), Lucky(quality=late)
    found = searched(tmp_path / "s.sqlite", PREDICTED, pool)
    whole = searched(tmp_path / "whole.sqlite", replace(PREDICTED, predictor=False), plain)
    assert [sum(item.iteration == number for item in found.candidates) for number in range(3)] == [20, 8, 8]
    assert 2.5 * found.images < whole.images
    assert found.best[0].score.correct >= whole.best[0].score.correct
    assert [check.fitted_to for check in found.checks] == [20, 28]
    assert [check.iteration for check in found.checks] == [2, 3]
    assert all(check.left_out > 0.5 for check in found.checks)
    assert f"rank correlation {found.checks[0].left_out:.2f} with the scores of 20 subnets" in str(found.checks[0])


@pytest.mark.parametrize("stop", [1, 19, 21, 30])
def test_a_search_that_was_stopped_goes_on_to_the_same(tmp_path, stop):
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "cut.sqlite", PREDICTED, Lucky(stop, late))
    found = searched(tmp_path / "cut.sqlite", PREDICTED, Lucky(quality=late))
    assert found == searched(tmp_path / "whole.sqlite", PREDICTED, Lucky(quality=late))


def test_a_search_without_it_has_the_identity_of_before():
    assert "predictor" not in search().identity
    assert search(predictor=True).identity != search().identity


def test_its_choice_for_a_front_has_cheap_ones_too(tmp_path):
    problem = replace(PREDICTED, evolution=replace(PREDICTED.evolution, pareto=True))
    found = searched(tmp_path / "s.sqlite", problem, Lucky())
    later = [item.costs[0] for item in found.candidates if item.iteration]
    widest = macs(SPACE.widest().arch) / 1e9
    assert min(later) < 0.6 * widest
    assert max(later) > 0.8 * widest
    assert found.images == TOTAL * len(found.candidates)
