"""The search for the setting of most throughput: coordinate by coordinate, each step beside the best of before.

One stream with every thread is taken to its best batch first. From there streams are added, then their threads varied,
then their batch, and at the new batch the neighbours are looked at once more. A setting is interleaved with the best so
far, so that a machine that slows down slows both; one that is far slower is left after one round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from resnas_deploy.errors import first_line
from resnas_deploy.measuring.cases import OUT_OF_MEMORY
from resnas_deploy.measuring.machine.memory import is_out_of_memory
from resnas_deploy.measuring.plan import Plan, ThroughputSetting
from resnas_deploy.measuring.throughput.found import Tried
from resnas_deploy.measuring.throughput.limits import Choices, Limits
from resnas_deploy.measuring.throughput.sessions import Sessions, Step, images_of
from resnas_deploy.measuring.timing import WarmUp, time_interleaved
from resnas_deploy.progress import Progress, silent, within

ROUNDS, MOST_ROUNDS = 2, 12  # of a setting beside the best; more where they are short
ENOUGH = 2.0  # seconds of rounds, beyond which there are no more
LONG = 0.5  # seconds of a sample after which nothing is cold
FAR = 0.85  # of the best's throughput: what is slower in one round gets no more
EQUAL = 0.01  # of the throughput, relative: of settings so near the one of less latency is taken
NEAR = 0.04  # below the best's: what is measured with it in the end
FINALISTS = 3
_ONCE, _NONE = WarmUp(window=1, most=1), WarmUp(most=0)  # rounds before those that count


class _Stopped(Exception):
    """Ctrl-C came while something was timed."""


@dataclass
class Search:
    """The search of one subject of a plan."""

    plan: Plan
    number: int
    choices: Choices
    limits: Limits
    until: float  # on the clock: when it should be over
    progress: Progress = silent
    clock: Callable[[], float] = time.perf_counter
    tried: dict[ThroughputSetting, Tried] = field(default_factory=dict)
    left_out: set[ThroughputSetting] = field(default_factory=set)
    best: ThroughputSetting | None = None
    interrupted: bool = False
    _began: float = field(init=False, default=0.0)  # on the clock

    def run(self) -> None:
        """Try settings until none is better, or a bound is met, or Ctrl-C comes."""
        self._began = self.clock()
        try:
            with Sessions(self.plan, self.number, self.progress, self.clock) as sessions:
                self._sessions = sessions
                self._search()
        except (_Stopped, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt):
                from resnas_deploy.processes import ending

                ending.taken()
            self.interrupted = True

    def single(self) -> ThroughputSetting | None:
        """Return the best batch of one stream with every thread, of those that were tried."""
        found = [each for each in self.tried.values() if self.is_single(each.setting) and self._keeps(each)]
        return max(found, key=_rate).setting if found else None

    def is_single(self, setting: ThroughputSetting) -> bool:
        """Whether it is one stream with every thread."""
        return setting.split == (1, self.choices.cores)

    def finalists(self) -> list[ThroughputSetting]:
        """Return what is worth measuring: the best, the fastest, and what is as fast with less latency."""
        if self.best is None:
            return []
        able = [each for each in self.tried.values() if self._keeps(each)] or [self.tried[self.best]]
        top = max(map(_rate, able))
        near = sorted((each for each in able if _rate(each) >= (1 - NEAR) * top), key=_latency)
        fastest = max(able, key=_rate).setting
        return list(dict.fromkeys([self.best, fastest, *(each.setting for each in near)]))[:FINALISTS]

    def _search(self) -> None:
        choices, batch = self.choices, self.choices.first_batch
        self._try(ThroughputSetting(1, choices.cores, batch))
        self._try_batches(1, choices.cores, batch)
        if self.best is None:
            return
        self._try_streams(self.best.batch)
        self._try_threads()
        for _ in range(2):  # each the other's neighbours: until neither moves
            before = self.best
            self._try_batches(before.streams, before.threads, before.batch)
            if self.best.batch == before.batch:
                break
            self._try_neighbours()

    def _try_batches(self, streams: int, threads: int, start: int) -> None:
        """Go up from a batch for as long as that helps, then down."""
        larger = [batch for batch in self.choices.batches if batch > start]
        smaller = [batch for batch in reversed(self.choices.batches) if batch < start]
        for batches, patience in ((larger, 1), (smaller, 2)):  # larger ones take as much longer
            self._climb((ThroughputSetting(streams, threads, batch) for batch in batches), patience)

    def _try_streams(self, batch: int) -> None:
        self._climb(
            ThroughputSetting(streams, self.choices.threads(streams)[0], batch)
            for streams in self.choices.streams()
            if streams > 1
        )

    def _try_threads(self) -> None:
        best = self._chosen()
        for threads in self.choices.threads(best.streams):
            self._try(ThroughputSetting(best.streams, threads, best.batch))

    def _try_neighbours(self) -> None:
        best, streams = self._chosen(), self.choices.streams()
        place = min(range(len(streams)), key=lambda index: abs(streams[index] - best.streams))
        for index in (place - 1, place + 1):
            if 0 <= index < len(streams):
                number = streams[index]
                self._try(ThroughputSetting(number, self.choices.threads(number)[0], best.batch))
        self._try_threads()

    def _chosen(self) -> ThroughputSetting:
        assert self.best is not None
        return self.best

    def _climb(self, settings: Iterable[ThroughputSetting], patience: int = 2) -> None:
        """Try one after the other until so many in a row are no better, one is far slower, or one cannot run."""
        worse = 0
        for setting in settings:
            self._try(setting)
            found = self.tried.get(setting)
            if found is None or found.failure is not None:
                return
            worse = 0 if self.best == setting else worse + 1
            if worse == patience or _rate(found) < FAR * self._top() or not self._keeps(found):
                return

    def _try(self, setting: ThroughputSetting) -> None:
        """Time a setting beside the best so far, which it becomes where it is better. Nothing where no time is left."""
        if setting in self.tried:
            return
        is_late = bool(self.tried) and self.clock() + self._cost(setting) > self.until  # never for the first
        if is_late or len(self.tried) >= self.limits.settings:
            self.left_out.add(setting)
            return
        self.left_out.discard(setting)
        left = max(0.0, self.until - self.clock())
        heading = f"setting {len(self.tried) + 1} of at most {self.limits.settings}, {left:.0f} s left: {setting}: "
        whole = self.until - self._began
        progress = within(whole - left, whole, heading, self.progress, stage="settings", tells_left=True)
        try:
            self.tried[setting] = found = self._timed(setting, progress)
        except Exception as error:  # each runtime has a class of its own for want of memory
            if not is_out_of_memory(error):
                raise
            self.tried[setting] = found = _tried(setting, failure=OUT_OF_MEMORY)
            progress(first_line(error, 100))
            self._sessions.keep(*([self.best.split] if self.best else []))
        if found.failure is None and self._is_better(found):
            self.best = setting
        if self.best:
            self._sessions.keep(self.best.split)

    def _cost(self, setting: ThroughputSetting) -> float:
        """Return the seconds that a setting will take, by what the best took."""
        if self.best is None:
            return 0.0
        rate = _rate(self.tried[self.best])
        samples = [images_of(each, rate) / rate for each in (setting, self.best)]
        loading = 0.0 if self._sessions.is_open(setting.split) else setting.streams * self._sessions.loading
        return loading + samples[0] + max(ROUNDS * sum(samples), min(ENOUGH, MOST_ROUNDS * sum(samples)))

    def _timed(self, setting: ThroughputSetting, progress: Progress) -> Tried:
        progress("loading" if not self._sessions.is_open(setting.split) else "first run")
        about = _rate(self.tried[self.best]) if self.best else 0.0
        steps = {setting: self._sessions.step(setting, about)}
        if self.best:
            steps[self.best] = self._sessions.step(self.best, about)
        is_long = steps[setting].seconds > LONG
        samples = self._rounds(steps, 1, _NONE if is_long else _ONCE, progress)
        if self.best is None or self._ratio(samples, steps, setting) >= FAR:
            whole = sum(step.seconds for step in steps.values())
            more = max(ROUNDS, min(MOST_ROUNDS, math.ceil(ENOUGH / whole))) - 1
            later = self._rounds(steps, more, _NONE, progress)
            samples = {key: samples[key] + later[key] for key in samples}
        step, took = steps[setting], samples[setting]
        rate = step.images / float(np.median(took))
        if self.best:
            rate = _rate(self.tried[self.best]) * self._ratio(samples, steps, setting)
        calls = step.streams.took[-len(took) :] if step.streams else [took]
        return _tried(setting, rate, 1e3 * float(np.median([seconds for call in calls for seconds in call])))

    def _rounds(
        self, steps: dict[ThroughputSetting, Step], count: int, warm_up: WarmUp, progress: Progress
    ) -> dict[ThroughputSetting, list[float]]:
        rounds = time_interleaved(
            {setting: step.step for setting, step in steps.items()},
            count,
            np.random.default_rng(0),
            warm_up=warm_up,
            progress=progress,
        )
        if rounds.interrupted:
            raise _Stopped
        return rounds.samples

    def _ratio(
        self,
        samples: dict[ThroughputSetting, list[float]],
        steps: dict[ThroughputSetting, Step],
        setting: ThroughputSetting,
    ) -> float:
        """Return the throughput of a setting over that of the best, round by round."""
        assert self.best is not None
        ours, theirs = np.asarray(samples[setting]), np.asarray(samples[self.best])
        return float(np.median(theirs / ours)) * steps[setting].images / steps[self.best].images

    def _is_better(self, found: Tried) -> bool:
        """Whether a setting should be the best: within the latency limit first, then faster, or as fast and sooner."""
        if self.best is None:
            return True
        best = self.tried[self.best]
        if self._keeps(found) != self._keeps(best):
            return self._keeps(found)
        if not self._keeps(found):
            return _latency(found) < _latency(best)
        sooner = _latency(found) < _latency(best)
        return _rate(found) > (1 + EQUAL) * _rate(best) or (sooner and _rate(found) >= (1 - EQUAL) * self._top())

    def _top(self) -> float:
        """Return the most throughput of what keeps the latency limit."""
        return max((_rate(each) for each in self.tried.values() if self._keeps(each)), default=0.0)

    def _keeps(self, found: Tried) -> bool:
        """Whether it ran, and half of its batches kept the latency limit."""
        limit = self.limits.latency_ms
        return found.failure is None and (limit is None or _latency(found) <= limit)


def _tried(
    setting: ThroughputSetting, rate: float | None = None, p50_ms: float | None = None, failure: str | None = None
) -> Tried:
    return Tried(setting.streams, setting.threads, setting.batch, rate, p50_ms, failure)


def _rate(found: Tried) -> float:
    return found.images_per_second or 0.0


def _latency(found: Tried) -> float:
    return math.inf if found.batch_p50_ms is None else found.batch_p50_ms
