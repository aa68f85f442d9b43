"""Times the pieces of a space on this device, those of a dimension side by side, and keeps them as they are measured.

What is kept lies in the latency store, under a purpose that names the very networks: an opening of them is there whole
or not at all, and a shaping that was stopped, or whose space differs in another list, measures only what is missing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.measuring.latency.anchored import time_together
from resnas_deploy.measuring.latency.networks import UntrainedNetwork, made_up
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import LatencyStore, Sampled
from resnas_deploy.measuring.statistics import Groups, Interval, ratio_interval
from resnas_deploy.measuring.timing import ROUNDS
from resnas_deploy.progress import Progress, within

PURPOSE = "shape"  # the beginning of what is kept
_SEED = 0  # of the bootstrap: the same samples give the same interval


@dataclass(frozen=True)
class Timed:
    """Networks that were timed side by side, in several openings."""

    samples_s: dict[str, Groups]  # by the network's fingerprint: seconds, by opening

    @property
    def openings(self) -> int:
        """How many there are."""
        return min(map(len, self.samples_s.values()), default=0)

    def ms(self, arch: ArchSpec) -> float:
        """Return the median milliseconds of a network, over its openings' medians."""
        return float(np.median(self.openings_ms(arch)))

    def openings_ms(self, arch: ArchSpec) -> tuple[float, ...]:
        """Return the median milliseconds of a network in each opening."""
        return tuple(1e3 * float(np.median(opening)) for opening in self.samples_s[arch.fingerprint])

    def ratio(self, ours: ArchSpec, theirs: ArchSpec) -> Interval:
        """Return what one network takes over what another does, with its interval over openings."""
        return _ratio(*(tuple(map(tuple, self.samples_s[each.fingerprint])) for each in (ours, theirs)))


@cache
def _ratio(ours: tuple[tuple[float, ...], ...], theirs: tuple[tuple[float, ...], ...]) -> Interval:
    return ratio_interval(ours, theirs, np.random.default_rng(_SEED))


@dataclass
class Timing:
    """Times groups of networks of a space within a bound of time."""

    store: LatencyStore
    space: SearchSpace
    setup: Setup
    setting: Setting  # that of the setup on this machine
    openings: int
    until: float  # on the clock: nothing is begun after it
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    measured_now: int = 0  # networks, each opening for itself

    def kept(self, archs: Sequence[ArchSpec]) -> Timed:
        """Return what the store has of the networks."""
        found: dict[str, list[tuple[float, ...]]] = {arch.fingerprint: [] for arch in archs}
        for opening in range(self.openings):
            for item in self._opening(archs, opening):
                found[item.arch.fingerprint].append(item.samples_s)
        return Timed({name: tuple(samples) for name, samples in found.items()})

    def time(self, archs: Sequence[ArchSpec], heading: str, done: int, total: int) -> Timed:
        """Time those openings of the networks that the store lacks, as far as there is time, and return what it has.

        `done` of `total` openings, of all groups, were before these: progress tells of them.
        """
        missing = [opening for opening in range(self.openings) if not self._opening(archs, opening)]
        took = 0.0
        with scratch_folder("shape") as folder:
            made: dict[
                str, UntrainedNetwork
            ] = {}  # for all openings: to quantise a network takes longer than to time it

            def networks(told: Progress) -> Iterator[tuple[str, UntrainedNetwork]]:
                for number, arch in enumerate(archs, start=1):
                    if arch.fingerprint not in made:
                        told(f"making network {number} of {len(archs)}")
                        made[arch.fingerprint] = made_up(arch, self.setup.precision, self.setup.batch, folder)
                    yield arch.fingerprint, made[arch.fingerprint]

            for opening in missing:
                began = self.clock()
                if began + took > self.until:
                    break
                told = within(
                    done + opening,
                    total,
                    f"{heading}, opening {opening + 1} of {self.openings}: ",
                    self.progress,
                    stage="openings",
                    counts=ROUNDS,
                )
                samples = time_together(self.setup, networks(told), np.random.default_rng(), told)
                base = tuple(samples[archs[0].fingerprint])
                found = [Sampled(arch, tuple(samples[arch.fingerprint]), base) for arch in archs]
                self.store.add(self.setting, self.space, purpose_of(archs), opening, found)
                self.measured_now += len(found)
                took = self.clock() - began
        return self.kept(archs)

    def _opening(self, archs: Sequence[ArchSpec], opening: int) -> list[Sampled]:
        return self.store.networks(self.setting, self.space, purpose_of(archs), opening)


def purpose_of(archs: Sequence[ArchSpec]) -> str:
    """Return what networks that are timed together are kept under."""
    content = " ".join(arch.fingerprint for arch in archs)
    return f"{PURPOSE} {hashlib.sha256(content.encode()).hexdigest()[:16]}"
