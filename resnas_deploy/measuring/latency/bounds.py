"""The most that a network takes at a stated probability: what a limit on latency is held against.

A search takes the networks that are just inside its limit, and of a prediction that is right on average half of those
would miss it. So the limit is held against a bound: the prediction times the error that so many of the profile's
networks stayed below when a fit had not seen them, at the rank that split conformal prediction takes (Vovk et al. 2005;
one-sided: a network that is faster than predicted keeps its limit).

A percentile of the runs lies further above by a tail that hangs on the machine more than on the network. A single
network's runs are too few to tell it; so it is drawn from all of them, each over its network's own median, as many as a
finalist is timed with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.errors import BadInput, shown

CONFIDENCE = 0.9
RUNS = {"p50": 30, "p90": 60, "p99": 200}  # that a finalist is timed with, at least, to tell a percentile
MEDIAN: Final = "p50"
_BEYOND = 5  # runs of the profile that must lie beyond a percentile
_DRAWS = 200
_SEED = 0

Runs = tuple[tuple[float, ...], ...]


def percent(percentile: str) -> float:
    """Return 90 for `p90`. Raise `BadInput` for what is none of `RUNS`."""
    if percentile not in RUNS:
        raise BadInput(f"`percentile` must be one of {', '.join(RUNS)}, found {shown(percentile)}")
    return float(percentile[1:])


def check_confidence(confidence: float) -> None:
    """Raise `BadInput` for what is no probability that a bound can have."""
    if not 0.5 <= confidence < 1:
        raise BadInput(f"`confidence` must be from 0.5 to less than 1, such as 0.9, found {confidence}")


def factor_within(errors: Sequence[float], runs: Runs, confidence: float, percentile: str = MEDIAN) -> float:
    """Return by how much a prediction must be multiplied to be a bound.

    `errors` are of networks held out, the logarithm of measured over predicted; `runs` are each network's times. Raise
    `BadInput` where the profile has too few of either.
    """
    check_confidence(confidence)
    count = len(errors)
    rank = math.ceil((count + 1) * confidence - 1e-9)
    if rank > count:
        needed = math.ceil(confidence / (1 - confidence) - 1e-9)
        raise BadInput(
            f"`confidence` {confidence:g} needs a profile of {needed} networks or more, found {count}; "
            "profile more `networks`, or ask for less"
        )
    both = np.add.outer(np.asarray(errors, dtype=np.float64), _tails(runs, percentile)).ravel()
    # The rank among the networks, not among the pairs: there are no more errors than networks.
    return float(np.exp(np.quantile(both, rank / count, method="inverted_cdf")))


def typical_tail(runs: Runs, percentile: str) -> float:
    """Return a percentile of a network's runs over their median, in the middle of what the profile has."""
    return float(np.exp(np.median(_tails(runs, percentile))))


def _tails(runs: Runs, percentile: str) -> NDArray[np.float64]:
    """Return the logarithm of the percentile over the median, of as many runs as a finalist has, drawn again and again.

    Whole networks are drawn: what slowed one run of a group is likely to have slowed others.
    """
    share = percent(percentile)
    if percentile == MEDIAN:
        return np.zeros(1)
    relative = [np.array(own) / np.median(own) for own in runs]
    there, needed = sum(map(len, relative)), math.ceil(_BEYOND / (1 - share / 100) - 1e-9)
    if there < needed:
        others = " or ".join(name for name in RUNS if name < percentile)
        raise BadInput(
            f"`percentile` {percentile} needs a profile of {needed} runs or more, found {there} of {len(runs)} "
            f"networks; profile more `networks`, or take {others}"
        )
    rng, found = np.random.default_rng(_SEED), []
    for _ in range(_DRAWS):
        drawn = list[NDArray[np.float64]]()
        while sum(map(len, drawn)) < RUNS[percentile]:
            drawn.append(relative[int(rng.integers(len(relative)))])
        found.append(np.log(np.percentile(np.concatenate(drawn), share)))
    return np.array(found)
