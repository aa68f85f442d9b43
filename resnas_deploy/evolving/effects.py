"""What a step of each dimension does to accuracy and to cost, by a regression over scored subnets.

S3 (arXiv 2111.14725) measures a space by the expectation of its subnets' errors and by those of its best ones, half
each ("E-T error"), and takes the slope of that over a dimension's choices. Here all dimensions are fitted together, so
that what goes with another is not counted twice:

    accuracy = a0 + sum over dimensions of a_d x_d,    cost = c0 + sum of c_d x_d,    x_d in steps of the dimension,

once by least squares (the expectation), and once so that a subnet above the plane weighs nine times one below it (the
expectile 0.9, Newey and Powell 1987: the plane of the better ones). The mean of the two slopes is a step's effect.

A step up is paid for elsewhere where a limit binds. What a unit of cost buys, as the subnets spend it, is its price

    p = a' S c / c' S c,    S the covariance of x, not below 0, and 0 where the widest subnet is within the limits,

and a step's gain is a_d - p c_d. Intervals are of resampled subnets (bootstrap), and so wide that all of them together
hold at `CONFIDENCE` (Bonferroni): where no choice has an effect, that is how seldom one is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnas_deploy.errors import BadInput
from resnas_deploy.evolving.dimensions import Dimension, Numbers

CONFIDENCE = 0.95  # of all intervals together
RESAMPLES = 400
BETTER = 0.9  # the expectile
_REWEIGHTED = 8  # times: an expectile's weights hardly change after five
_RIDGE = 1e-4  # of a variance of one step: what is collinear shares its effect, and nothing else is shrunk
_EACH = 2  # subnets for each number that is fitted, at least


@dataclass(frozen=True)
class Estimate:
    """A number, and the bounds between which the true one lies."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """Return 1 or -1 where the interval is above or below 0; 0 where it holds 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Effect:
    """What one step up of a dimension does. Accuracies are shares, from 0 to 1."""

    dimension: Dimension
    step: float  # between neighbouring values
    expectation: Estimate  # accuracy of subnets in the mean
    top: Estimate  # accuracy of the better ones
    cost: float  # of a subnet, in the unit of the cost that is limited
    gain: Estimate  # accuracy, without what its cost would buy elsewhere


def least_subnets(dimensions: int) -> int:
    """Return how many subnets must be scored, at least."""
    return _EACH * (dimensions + 1) + 1


def effects(
    asked: Sequence[tuple[Dimension, float]],
    taken: Numbers,
    accuracy: Numbers,
    cost: Numbers,
    rng: np.random.Generator,
    *,
    binding: bool,
) -> tuple[Effect, ...]:
    """Return the effect of a step of each dimension.

    Args:
        asked: the dimensions, each with its step.
        taken: what each subnet has of each, in steps, `(subnets, dimensions)`.
        accuracy: of each subnet, from 0 to 1, `(subnets,)`.
        cost: of each, `(subnets,)`.
        rng: what subnets are resampled by.
        binding: whether cost is limited, so that it has a price.

    Raise `BadInput` for too few subnets.
    """
    count, number = taken.shape
    if count < (least := least_subnets(number)):
        raise BadInput(
            f"`subnets` must be {least} or more for the {number} choices of the space, found {count} within the "
            "limits; ask for more, or raise the limit"
        )
    if not number:
        return ()
    from scipy import stats  # takes half a second to import

    found = _slopes(taken, accuracy, cost, binding=binding)
    again = np.array(
        [
            _slopes(taken[drawn], accuracy[drawn], cost[drawn], binding=binding)
            for drawn in (rng.integers(count, size=count) for _ in range(RESAMPLES))
        ]
    )
    # Resampled errors are too small by what the fit has taken of them.
    wide = float(stats.t.ppf(1 - (1 - CONFIDENCE) / (2 * number), count - number - 1))
    half = wide * again.std(axis=0) * np.sqrt(count / (count - number - 1))

    def estimate(row: int, column: int) -> Estimate:
        value, around = float(found[row, column]), float(half[row, column])
        return Estimate(value, value - around, value + around)

    return tuple(
        Effect(
            dimension,
            step,
            estimate(_EXPECTATION, place),
            estimate(_TOP, place),
            float(found[_COST, place]),
            estimate(_GAIN, place),
        )
        for place, (dimension, step) in enumerate(asked)
    )


_EXPECTATION, _TOP, _COST, _GAIN = range(4)  # the rows of what `_slopes` returns


def _slopes(taken: Numbers, accuracy: Numbers, cost: Numbers, *, binding: bool) -> Numbers:
    """Return the slopes of the expectation, of the better ones and of cost, and the gains: `(4, dimensions)`."""
    even = np.ones(len(taken))
    mean, spent = _plane(taken, accuracy, even)[1], _plane(taken, cost, even)[1]
    better = _better(taken, accuracy)
    both = (mean + better) / 2
    covariance = np.cov(taken, rowvar=False, ddof=0).reshape(len(both), len(both))
    variance = float(spent @ covariance @ spent)
    price = max(0.0, float(both @ covariance @ spent) / variance) if binding and variance > 0 else 0.0
    return np.array([mean, better, spent, both - price * spent])


def _better(taken: Numbers, accuracy: Numbers) -> Numbers:
    """Return the slopes of the plane of the better ones, `(dimensions,)`."""
    weights = np.ones(len(taken))
    for _ in range(_REWEIGHTED):
        level, slopes = _plane(taken, accuracy, weights)
        weights = np.where(accuracy > level + taken @ slopes, BETTER, 1 - BETTER)
    return slopes


def _plane(taken: Numbers, wanted: Numbers, weights: Numbers) -> tuple[float, Numbers]:
    """Fit a plane by weighted least squares: its level at 0, and its slopes `(dimensions,)`."""
    shares = weights / weights.sum()
    centre, mean = shares @ taken, float(shares @ wanted)
    around = taken - centre
    weighted = around * shares[:, None]
    slopes = np.linalg.solve(around.T @ weighted + _RIDGE * np.eye(taken.shape[1]), weighted.T @ (wanted - mean))
    return mean - float(centre @ slopes), slopes
