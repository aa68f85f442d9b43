"""Successive halving (Jamieson and Talwalkar, arXiv 1502.07943): the worse half of an iteration sees no more images.

All subnets of an iteration see the first fifth of the held-out images, which are in random order. The better half of
them sees as many again, and the better half of those sees all. Every comparison is on the same images, so what is hard
about them is hard for all.

A search that was killed goes on as it would have: the store holds who was left behind, and at how many images. Those
who were not are looked at again, over the same images in the same parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.searching.candidate import NOTHING_SEEN, Candidate, Score

SHARES: tuple[float, ...] = (1 / 5, 2 / 5, 1.0)  # of the images, after which the worse half is left behind

Look = Callable[[Mapping[Subnet, Score], int], Iterable[Sequence[Candidate]]]
Keep = Callable[[Sequence[Candidate]], None]
Order = Callable[[Sequence[Candidate]], Sequence[Candidate]]


def steps(total: int) -> tuple[int, ...]:
    """Return after how many images subnets are left behind, and last `total`, which is all."""
    return tuple(sorted({max(1, round(share * total)) for share in SHARES}))


def images_seen(subnets: int, total: int) -> int:
    """Count the images that an iteration of so many subnets scores, of `total` each."""
    seen = before = 0
    for images in steps(total):
        seen += subnets * (images - before)
        subnets, before = (subnets + 1) // 2, images
    return seen


def halve(
    subnets: Sequence[Subnet], kept: Mapping[Subnet, Candidate], total: int, look: Look, keep: Keep, best_first: Order
) -> None:
    """Score subnets on ever more images, ever fewer of them; `keep` is given all that are done with.

    `kept` are those that an earlier run was done with. `look` goes on with subnets from the scores that they have, up
    to so many images in all, and yields them in parts; `best_first` orders them.
    """
    *cuts, whole = steps(total)
    kept = {subnet: kept[subnet] for subnet in subnets if subnet in kept}
    left = {subnet: NOTHING_SEEN for subnet in subnets if subnet not in kept}
    most_seen = max((candidate.score.seen for candidate in kept.values()), default=0)
    before = 0
    for images in cuts:
        seen = [candidate for part in look(left, images) for candidate in part]
        if most_seen <= before:  # otherwise an earlier run made this cut, and they are those who went on
            alive = [candidate for candidate in seen if not candidate.score.stopped]
            chosen = {candidate.subnet for candidate in best_first(alive)[: (len(seen) + 1) // 2]}
            keep([_stopped(candidate) for candidate in seen if candidate.subnet not in chosen])
            seen = [candidate for candidate in seen if candidate.subnet in chosen]
        left = {candidate.subnet: candidate.score for candidate in seen}
        before = images
    for part in look(left, whole):
        keep(part)


def _stopped(candidate: Candidate) -> Candidate:
    return replace(candidate, score=replace(candidate.score, stopped=True))
