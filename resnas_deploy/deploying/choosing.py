"""The choice, from measurements alone: which settings may keep a level, which candidate is best, and why no other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnas_deploy.deploying.result import Candidate, ServiceLevel, ServingSetting
from resnas_deploy.precision import PRECISIONS

# Of the level: what 99 of 100 batches may take. A request may wait for a batch that runs, and then for its own.
SHARE = 0.5


@dataclass(frozen=True)
class Offer:
    """What a candidate can do within the level."""

    candidate: Candidate
    setting: ServingSetting
    requests_per_second: float  # of a real server within the level, or else of the sessions alone
    served: bool  # whether it was a real server's

    def machines(self, demand: float) -> int:
        """Return the fewest machines like this one for so many requests a second; without a server, the least."""
        return max(1, math.ceil(demand / self.requests_per_second))

    @property
    def rate(self) -> str:
        """Return the requests a second in words."""
        if self.served:
            return f"{self.requests_per_second:.4g} requests/s from a real server"
        return f"{self.requests_per_second:.4g} images/s without a server"


@dataclass(frozen=True)
class Choice:
    """The best offer, and why it is."""

    offer: Offer
    why: str


def roomy(setting: ServingSetting, level: ServiceLevel) -> bool:
    """Whether a request may wait for one batch, and then for its own, within the level."""
    return setting.batch_p99_ms <= SHARE * level.p99_ms


def may_keep(setting: ServingSetting, level: ServiceLevel) -> bool:
    """Whether a request that waits for none is answered within the level."""
    return setting.batch_p99_ms <= level.p99_ms


def settings_for(candidate: Candidate, level: ServiceLevel) -> tuple[ServingSetting, ...]:
    """Return the settings of a candidate that may keep the level, the most promising first.

    Those come first in which a request may wait for a batch too, by throughput; then the others, the soonest first.
    """
    able = [each for each in candidate.settings if may_keep(each, level)]
    rooms = sorted((each for each in able if roomy(each, level)), key=lambda each: -each.images_per_second)
    tight = sorted((each for each in able if not roomy(each, level)), key=lambda each: each.batch_p99_ms)
    return (*rooms, *tight)


def offer_of(candidate: Candidate, level: ServiceLevel) -> Offer | None:
    """Return what a candidate can do within the level; None where nothing of it keeps that."""
    if (load := candidate.load) is not None:
        if not load.requests_per_second:
            return None
        return Offer(candidate, load.setting, load.requests_per_second, served=True)
    found = settings_for(candidate, level)
    return Offer(candidate, found[0], found[0].images_per_second, served=False) if found else None


def choose(candidates: Sequence[Candidate], level: ServiceLevel) -> Choice | None:
    """Return the best offer: the fewest machines for the demand, or the most requests a second; None without any.

    Where several need as few machines, it is the one of the widest precision, whose answers are nearest to the
    network's own. What a real server has shown goes before what was measured without one.
    """
    offers = [offer for each in candidates if (offer := offer_of(each, level))]
    if not offers:
        return None
    served = [offer for offer in offers if offer.served]
    able = served or offers
    if level.demand is None:
        best = max(able, key=lambda offer: offer.requests_per_second)
        return Choice(best, f"the most within {level}: {best.rate}")
    least = min(offer.machines(level.demand) for offer in able)
    ties = [offer for offer in able if offer.machines(level.demand) == least]
    best = min(ties, key=lambda offer: (_width(offer.candidate), -offer.requests_per_second))
    why = f"{machines_text(best, level.demand)} for {level.demand:g} requests/s: {best.rate}"
    if len(ties) > 1:
        others = ", ".join(offer.candidate.name for offer in ties if offer is not best)
        why += f"; as few as {others} would need, at a wider precision"
    return Choice(best, why)


def why_not(candidate: Candidate, choice: Choice | None, level: ServiceLevel) -> str:
    """Say why a candidate was not chosen; nothing of the one that was."""
    if candidate.left_out:
        return candidate.left_out
    if choice and candidate.name == choice.offer.candidate.name:
        return ""
    offer = offer_of(candidate, level)
    if offer is None:
        return _misses(candidate, level)
    if choice is None:
        return ""
    best = choice.offer
    if best.served and not offer.served:
        return "no server of it was tried: there was no time left"
    if level.demand is not None:
        mine, least = offer.machines(level.demand), best.machines(level.demand)
        if mine > least:
            return f"{mine} machines where {least} {'does' if least == 1 else 'do'}"
        if _width(best.candidate) < _width(candidate):
            return f"as many machines, and {best.candidate.name} is wider"
    return f"{offer.requests_per_second / best.requests_per_second:.0%} of the requests/s of {best.candidate.name}"


def machines_text(offer: Offer, demand: float) -> str:
    """Return how many machines a demand needs; at least so many where no server was asked."""
    count = offer.machines(demand)
    return f"{'' if offer.served else 'at least '}{count} machine{'' if count == 1 else 's'}"


def nearest(candidates: Sequence[Candidate], level: ServiceLevel) -> str:
    """Say what comes nearest to a level that nothing keeps."""
    loads = [
        (load.nearest_ms, each, load.setting)
        for each in candidates
        for load in each.loads
        if load.nearest_ms is not None
    ]
    if loads:
        ms, candidate, setting = min(loads, key=lambda found: found[0])
        return f"{candidate.name} with {setting.described}, whose server has a p99 of {ms:.1f} ms"
    found = [(setting.batch_p99_ms, each, setting) for each in candidates for setting in each.settings]
    if not found:
        return ""
    ms, candidate, setting = min(found, key=lambda each: each[0])
    return f"{candidate.name} with {setting.described}, where 99 of 100 batches take {ms:.1f} ms"


def _misses(candidate: Candidate, level: ServiceLevel) -> str:
    if load := candidate.load:
        ms = load.nearest_ms
        return f"its server keeps the level at no rate{f' (p99 {ms:.1f} ms at the least)' if ms is not None else ''}"
    if not candidate.settings:
        return "nothing of it could be measured"
    least = min(each.batch_p99_ms for each in candidate.settings)
    return f"99 of 100 batches take {least:.1f} ms at the least, where {level.p99_ms:g} ms are allowed"


def _width(candidate: Candidate) -> int:
    """Return where the precision stands: the widest first."""
    return list(PRECISIONS).index(candidate.precision)
