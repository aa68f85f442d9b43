"""How many images a search scores until it has found as good a subnet: ways to need fewer, beside today's search.

Run: .venv/bin/python benchmarks/cheaper_search.py [SEEDS], 10 where none are given; minutes a seed on one core.
It trains the demo's supernet into build/cheaper, unless it is there, as `make demo-search` does. What each subnet gets
right is kept there too (`right_answers.py`), and not computed again. Writes results/cheaper-search.json: for each way
the images that it scored, how accurate its winner is on the images that it was chosen by and on the validation split,
which no search sees, and the differences from today's search of the same seed. A way is worth its option if it scores
half the images or fewer and loses no more than MARGIN of either accuracy, with 95% confidence.

Successive halving (arXiv 1502.07943) is tried here: all subnets of an iteration see an eighth
of the images, the better half of them a quarter, the better half of those half, and the better half of those all.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording import spread, write_result
from right_answers import RightAnswers

import resnas_deploy as resnas
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.labelled import split
from resnas_deploy.data.source import open_data
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.costs import CostLimit, CostLimits, costs_of, macs_cost
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.iterations import EvaluatedSubnets, SearchProblem, iterate
from resnas_deploy.searching.scorer import StoppingRule
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.checkpoint import load
from resnas_deploy.weights.space_files import packaged_spaces

KEPT = Path(__file__).parents[1] / "build" / "cheaper"
SPACE = packaged_spaces()["demo"]
SEEDS = 10
EVOLUTION = Evolution(iterations=4, first=60, mutated=15, crossed=15, parents=15)  # of `make demo-search`
LIMIT = 0.35  # of the widest subnet's MACs: small networks differ most
LOOK = 100  # images between two looks at whether a candidate is hopeless
SHARES = (1 / 8, 1 / 4, 1 / 2, 1)  # of the images: where the worse half is left behind
MARGIN = 0.003  # of accuracy: less than a subnet's own changes from one held-out set to another

Way = Callable[[SearchProblem, RightAnswers], EvaluatedSubnets]


class Answering:
    """A pool that looks up what a subnet gets right, and stops early as the search's scorer does."""

    def __init__(self, answers: RightAnswers) -> None:
        self._answers, total = answers, answers.total
        self._looks = [*range(LOOK, total, LOOK), total]
        self._rule = StoppingRule(total, len(self._looks) - 1)

    def scores(self, subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        """Score several subnets."""
        return [self._score(self._answers.of(subnet), target) for subnet in subnets]

    def _score(self, right: np.ndarray, target: int | None) -> Score:
        for seen in self._looks[:-1]:
            correct = int(right[:seen].sum())
            if target is not None and correct < self._rule.least(seen, target):
                return Score(correct, seen, stopped=True)
        return Score(int(right.sum()), len(right))


def searched(problem: SearchProblem, answers: RightAnswers) -> EvaluatedSubnets:
    """Search as the product does."""
    with tempfile.TemporaryDirectory() as folder, SearchStore(Path(folder, "s.sqlite"), problem.identity) as store:
        return iterate(problem, store, Answering(answers))


def third(problem: SearchProblem, answers: RightAnswers) -> EvaluatedSubnets:
    """Score a third of the subnets, which nothing chooses."""
    return searched(replace(problem, evolution=problem.evolution.with_share(1 / 3)), answers)


def predicted(problem: SearchProblem, answers: RightAnswers) -> EvaluatedSubnets:
    """Score a third of the subnets, which the predictor chooses."""
    return searched(replace(problem, predictor=True), answers)


def halved(problem: SearchProblem, answers: RightAnswers) -> EvaluatedSubnets:
    """Score by successive halving."""
    found: list[Candidate] = []
    limits = problem.limits.within(problem.space)
    for iteration in range(problem.evolution.iterations):
        rng = np.random.default_rng((problem.seed, iteration))
        left: Sequence[Subnet] = propose(problem.space, limits, problem.evolution, found, rng)
        for images in (round(share * answers.total) for share in SHARES):
            whole = images == answers.total
            scores = [Score(int(answers.of(subnet, images).sum()), images, stopped=not whole) for subnet in left]
            costs = costs_of(problem.costs, left)
            seen = [Candidate(*item, iteration) for item in zip(left, scores, costs, strict=True)]
            seen.sort(key=lambda candidate: candidate.rank, reverse=True)
            going = 0 if whole else (len(seen) + 1) // 2
            found += seen[going:]
            left = [candidate.subnet for candidate in seen[:going]]
    return EvaluatedSubnets.of(found, pareto=False)


WAYS: dict[str, Way] = {
    "today": searched,
    "a third of the candidates": third,
    "predictor": predicted,
    "halving": halved,
}


def main(seeds: int) -> None:
    """Search in each way and write the result."""
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / "supernet" / "checkpoint.safetensors"
    if not path.exists():
        resnas.train.supernet(KEPT / "supernet", "demo", space="demo", progress=lambda text: print(text, flush=True))
    supernet, data, cost = load(path), open_data("demo"), macs_cost()
    most = LIMIT * cost.of([SPACE.widest().arch]).item()
    rows: dict[str, list[dict[str, object]]] = {way: [] for way in WAYS}
    with (
        RightAnswers(
            supernet, split(data.train, supernet.task.held_out)[1], "held out", KEPT / "answers.sqlite"
        ) as held,
        RightAnswers(supernet, data.val, "validation", KEPT / "answers.sqlite") as unseen,
    ):
        for seed in range(seeds):
            problem = SearchProblem(
                space=SPACE,
                supernet=supernet.digest,
                data="demo",
                held_out=held.total,
                limits=CostLimits((CostLimit(cost, most),)),
                costs=(cost,),
                evolution=EVOLUTION,
                seed=seed,
            )
            for way, search in WAYS.items():
                found = search(problem, held)
                best = found.best[0]
                rows[way].append(
                    {
                        "seed": seed,
                        "candidates": len(found.candidates),
                        "images": found.images,
                        "held_out": best.score.accuracy,
                        "validation": float(unseen.of(best.subnet).mean()),
                        "rank_correlations": [[check.left_out, check.chosen] for check in found.checks],
                    }
                )
                print(f"seed {seed}, {way:26} {rows[way][-1]}", flush=True)
    today = rows["today"]
    write_result(
        "cheaper-search",
        {
            "space": SPACE.name,
            "limit_of_MACs": LIMIT,
            "held_out": held.total,
            "validation": unseen.total,
            "evolution": vars(EVOLUTION),
            "margin": MARGIN,
            "ways": {way: compared(found, today) | {"searches": found} for way, found in rows.items()},
        },
    )


def compared(found: Sequence[dict[str, Any]], today: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Return what a way saves and what it loses, over the seeds."""
    pairs = list(zip(found, today, strict=True))
    differences = {
        name: spread([float(own[name]) - float(other[name]) for own, other in pairs])
        for name in ("held_out", "validation")
    }
    times_fewer = min(float(other["images"]) / float(own["images"]) for own, other in pairs)
    loses = max(-float(item["low"]) for item in differences.values())
    ranks = [pair for own in found for pair in own["rank_correlations"]]
    means = [float(np.mean([pair[kind] for pair in ranks])) if ranks else None for kind in range(2)]
    return {
        "images_times_fewer": times_fewer,
        "minus_today": differences,
        "rank_correlation": dict(zip(("left_out", "chosen"), means, strict=True)),
        "kept": times_fewer >= 2 and loses <= MARGIN,
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else SEEDS)
