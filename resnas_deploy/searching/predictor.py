"""Predicts a subnet's accuracy from its dimensions, so that of many subnets only promising ones are scored.

It is a ridge regression, linear in the stem's and the stages' widths and in what each block has: whether it is there,
its heads, their length, the inner width that they make, its hidden channels, and which mixer, where there are several.
How much it is shrunk is chosen by the error at each subnet when that one is left out, which for a ridge has a closed
form (Allen's PRESS, 1974). A score on few images counts less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.choices import rank_correlation
from resnas_deploy.searching.costs import CostKind, costs_of
from resnas_deploy.searching.evolution import Evolution

SHARE = 1 / 3  # of the subnets that a search scores without it
DRAWN = 10  # times as many subnets as are scored: those that it chooses from
FEWEST = 10  # subnets that it is fitted to; before there are so many, there is none
SHRINKAGES = np.logspace(-3, 3, 25)  # tried, in units of the number of subnets
DIGITS = 9  # of a prediction that count: the last bits depend on how many threads summed them

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Predictor:
    """A fitted regression."""

    centre: Numbers  # (features,), of what it was fitted to
    slopes: Numbers  # (features,), of accuracy
    mean: float  # accuracy at the centre
    fitted_to: int  # subnets
    left_out: float | None  # Spearman's of their scores, and by how much a fit to the others puts each above their mean
    mixers: tuple[str, ...] = ()  # of blocks that it was fitted to, but for the first of them

    def accuracies(self, subnets: Sequence[Subnet]) -> Numbers:
        """Predict top-1, from 0 to 1: `(subnets,)`."""
        return np.asarray(np.round(self.mean + (_features(subnets, self.mixers) - self.centre) @ self.slopes, DIGITS))


def fitted(found: Sequence[Candidate]) -> Predictor | None:
    """Fit it to all that was scored; None where that is too little to learn from."""
    scored = [candidate for candidate in found if candidate.score.seen]
    right = np.array([candidate.score.accuracy for candidate in scored])
    if len(scored) < FEWEST or not np.ptp(right):
        return None
    weights = np.array([candidate.score.seen for candidate in scored], dtype=np.float64)
    weights /= weights.mean()
    subnets = [candidate.subnet for candidate in scored]
    mixers = tuple(sorted({block.mixer for subnet in subnets for s in subnet.full.stages for block in s.blocks})[1:])
    features = _features(subnets, mixers)
    centre, mean = np.average(features, axis=0, weights=weights), float(np.average(right, weights=weights))
    spread = np.sqrt(np.average((features - centre) ** 2, axis=0, weights=weights))
    varies = spread > 0
    scale = np.where(varies, spread, 1.0)
    root = np.sqrt(weights)
    rows, wanted = (features - centre) / scale * varies * root[:, None], (right - mean) * root
    left, values, turned = np.linalg.svd(rows, full_matrices=False)
    along = left.T @ wanted
    best, least, alone = np.zeros_like(values), np.inf, right
    others = (mean * weights.sum() - weights * right) / (weights.sum() - weights)  # the mean without each
    for shrinkage in SHRINKAGES * len(scored):
        kept = values**2 / (values**2 + shrinkage)
        leverage = (left**2) @ kept + weights / weights.sum()  # of each subnet in its own prediction
        errors = (wanted - left @ (kept * along)) / (1 - leverage)
        if (error := float(np.sum(errors**2))) < least:
            best, least, alone = values / (values**2 + shrinkage), error, right - errors / root - others
    return Predictor(
        centre, turned.T @ (best * along) / scale, mean, len(scored), rank_correlation(alone, right), mixers
    )


@dataclass(frozen=True)
class PredictorCheck:
    """How well the predictor of an iteration ordered subnets that it had not seen: Spearman's rank correlations.

    They are None of fewer than 3 subnets, or of equal scores.
    """

    iteration: int  # from 1
    fitted_to: int  # subnets
    left_out: float | None  # of those, each predicted by a fit to the others
    chosen: float | None  # of those that it chose next: all are good, as predicted, so they are hard to order

    def __str__(self) -> str:
        ranks = {
            f"with the scores of {self.fitted_to} subnets, each predicted by the others": self.left_out,
            "with those of the subnets that it chose": self.chosen,
        }
        told = [f"{rank:.2f} {what}" for what, rank in ranks.items() if rank is not None]
        return f"predictor of iteration {self.iteration}: rank correlation {', '.join(told) or 'unknown'}"


def checks_of(candidates: Sequence[Candidate]) -> list[PredictorCheck]:
    """Fit the predictor of each iteration again, and compare what it said of the next candidates with their scores."""
    checks = []
    for iteration in sorted({candidate.iteration for candidate in candidates}):
        predictor = fitted([candidate for candidate in candidates if candidate.iteration < iteration])
        own = [item for item in candidates if item.iteration == iteration and not item.score.stopped]
        if predictor:
            predicted = predictor.accuracies([item.subnet for item in own])
            ranks = rank_correlation(predicted, np.array([item.score.accuracy for item in own]))
            checks.append(PredictorCheck(iteration + 1, predictor.fitted_to, predictor.left_out, ranks))
    return checks


def chosen(
    predictor: Predictor, subnets: Sequence[Subnet], count: int, evolution: Evolution, costs: Sequence[CostKind]
) -> list[Subnet]:
    """Return those of the subnets that are best as predicted, ordered as the evolution orders what was scored."""
    whole = 10**DIGITS
    scores = [Score(round(right * whole), whole) for right in predictor.accuracies(subnets).tolist()]
    priced = costs_of(costs, subnets) if evolution.pareto else [()] * len(subnets)
    expected = [Candidate(*found, iteration=0) for found in zip(subnets, scores, priced, strict=True)]
    return [candidate.subnet for candidate in evolution.best_first(expected)[:count]]


def _features(subnets: Sequence[Subnet], mixers: Sequence[str]) -> Numbers:
    """Return `(subnets, features)`: a block that is dropped has none of anything, another one 1 for its mixer."""
    rows = []
    for subnet in subnets:
        row: list[int] = [subnet.full.stem_mid_width]
        for stage, flags in zip(subnet.full.stages, subnet.kept, strict=True):
            row.append(stage.width)
            for block, keep in zip(stage.blocks, flags, strict=True):
                row += [1, block.heads, block.head_dim, block.inner, block.hidden] if keep else [0] * 5
                row += [int(keep and block.mixer == mixer) for mixer in mixers]
        rows.append(row)
    return np.array(rows, dtype=np.float64)
