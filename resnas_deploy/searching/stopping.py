"""When a candidate is hopeless: the rule by which its evaluation stops early.

The images are in random order, so what a candidate got right of the first `seen` is a draw without replacement from
all of them: hypergeometric. It is stopped where so few would be right with a probability below `RISK` if of all
images it got as many right as the worst parent did. The risk is shared out over the looks (Bonferroni), so that of
the candidates that are as good as that parent at most `RISK` are lost.
"""

from __future__ import annotations

from scipy import stats

RISK = 0.001


def hopeless(correct: int, seen: int, target: int, total: int, looks: int) -> bool:
    """Whether a candidate with so many correct of those seen cannot be expected to reach `target` of `total`."""
    if correct + total - seen < target:  # not even if all others are right
        return True
    return bool(stats.hypergeom.cdf(correct, total, target, seen) < RISK / max(1, looks))
