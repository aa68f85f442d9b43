"""Searches the best setting of every subject, then measures each best beside what it is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.machine.memory import limited
from resnas_deploy.measuring.measure import device_of, measure, nothing_measured
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Effort, Plan, Subject, ThroughputSetting
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.statistics import Interval, ratio_interval
from resnas_deploy.measuring.throughput.found import BestSetting, ThroughputSearch
from resnas_deploy.measuring.throughput.limits import SEARCHING, Choices, Limits, batches_for
from resnas_deploy.measuring.throughput.search import EQUAL, Search
from resnas_deploy.measuring.throughput.sessions import FEW_BATCHES
from resnas_deploy.measuring.timing import WarmUp
from resnas_deploy.progress import Progress, headed, silent
from resnas_deploy.runners.devices import CPU

OPENINGS = 3  # of what is measured in the end, where no other number is asked for
_WARM = WarmUp(window=1, most=1)  # in each opening, after a first run: a round takes seconds
_BESIDE = 0.05  # seconds of a round beside its samples: the reference workload, and rests
_SEED = 0  # of the bootstrap


def measure_throughput(
    effort: Effort,
    subjects: Sequence[Subject],
    batches: Sequence[int],
    limits: Limits,
    extras: Extras,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Find the setting of most throughput of each subject, and measure it beside one stream.

    `effort.runs` bounds the rounds in the end, of which there are as many as the time allows, but one an opening.
    Ctrl-C ends it early, with what there is by then. Raise `BadInput` or `NotAvailable` as a plan does.
    """
    plan = _plan(effort, subjects, batches)
    started = clock()
    searches: list[Search] = []
    seconds: list[float] = []
    with limited() if device_of(plan) == CPU else nullcontext():
        for number, subject in enumerate(subjects):
            left = started + SEARCHING * limits.seconds - clock()
            begun = clock()
            heading = f"{subject.network.label} on {subject.kind.name}, "
            search = Search(
                plan,
                number,
                Choices(plan.threads, plan.batches_of(number), on_gpu=subject.kind.device(plan.device) != CPU),
                limits,
                begun + left / (len(subjects) - number),
                headed(heading, progress) if len(subjects) > 1 else progress,
                clock,
            )
            search.run()
            searches.append(search)
            seconds.append(clock() - begun)
            if search.interrupted:
                break
    report = _measured(plan, searches, started + limits.seconds - clock(), effort, extras, progress)
    found = [_found(plan, search, took, report) for search, took in zip(searches, seconds, strict=True)]
    return replace(report, throughput=tuple(found))


def _plan(effort: Effort, subjects: Sequence[Subject], batches: Sequence[int]) -> Plan:
    """Return a plan of every subject and every batch that may be tried. It raises what is wrong with them."""
    plan = replace(effort, openings=_openings(effort)).plan(subjects, batches)
    sizes = {size for subject in subjects for size in batches_for(subject.network.batch, tuple(batches))}
    everything = tuple(sorted(sizes))
    chosen = tuple(
        (number, ThroughputSetting(1, plan.threads, batch))
        for number, subject in enumerate(subjects)
        for batch in everything
        if batch in subject.network.batch
    )
    return replace(plan, batches=everything, chosen=chosen, each=FEW_BATCHES, warm_up=_WARM)


def _openings(effort: Effort) -> int:
    return min(OPENINGS, max(effort.runs, 1)) if effort.openings is None else effort.openings


def _measured(
    plan: Plan, searches: Sequence[Search], seconds: float, effort: Effort, extras: Extras, progress: Progress
) -> Report:
    """Measure the finalists of all searches, each beside one stream, in about so many seconds."""
    if any(search.interrupted for search in searches):
        return nothing_measured(plan)
    chosen: list[tuple[int, ThroughputSetting]] = []
    round_s = _BESIDE
    for search in searches:
        singles = [search.choices.one, search.single()]
        wanted = dict.fromkeys([*search.finalists(), *(each for each in singles if each)])
        if search.best is not None:
            chosen += [(search.number, setting) for setting in wanted]
            round_s += sum(_seconds(search, setting) for setting in wanted)
    if not chosen:
        found = ", ".join(plan.subjects[search.number].network.label for search in searches)
        raise BadInput(f"a setting must fit into memory, found none of {found}; name smaller `batches`")
    rounds = int(seconds / round_s) - plan.openings * (1 + _WARM.most)  # the first run too
    runs = max(plan.openings, min(effort.runs, rounds))
    final = replace(plan, chosen=tuple(chosen), runs=runs)
    return measure(final, extras, headed("the best beside one stream, ", progress))


def _seconds(search: Search, setting: ThroughputSetting) -> float:
    """Return what a sample of a setting takes in the end, by what was tried: where it was not, at the slowest rate."""
    rates = {tried: each.images_per_second for tried, each in search.tried.items() if each.images_per_second}
    rate = rates.get(setting) or min(rates.values(), default=1.0)
    return setting.batch * (setting.streams * FEW_BATCHES if setting.streams > 1 else 1) / rate


def _found(plan: Plan, search: Search, seconds: float, report: Report) -> ThroughputSearch:
    subject = plan.subjects[search.number]
    network = subject.network
    own = {
        c.setting: item
        for item in report.measurements
        if (c := item.configuration) and (c.source, c.runner) == (network.source, subject.kind.name) and item.samples_s
    }
    return ThroughputSearch(
        source=network.source,
        label=network.label,
        digest=network.digest,
        precision=network.precision,
        runner=subject.kind.name,
        most_settings=search.limits.settings,
        seconds=seconds,
        left_out=len(search.left_out),
        tried=tuple(search.tried.values()),
        latency_limit_ms=search.limits.latency_ms,
        best=_best(subject, search, own) if search.finalists() else None,
    )


def _best(subject: Subject, search: Search, own: Mapping[ThroughputSetting, Measurement]) -> BestSetting | None:
    """Return the best of what was measured in the end; None where that has nothing that keeps the limit."""
    limit, one = search.limits.latency_ms, own.get(search.choices.one)
    able = {setting: item for setting, item in own.items() if limit is None or item.batch_percentile(99) <= limit}
    if not able or one is None:
        return None
    setting = best_of(able)
    best = able[setting]
    singles = {each: item for each, item in own.items() if search.is_single(each)}
    single = max(singles, key=lambda each: singles[each].median_throughput.value)
    return BestSetting(
        source=subject.network.source,
        label=subject.network.label,
        runner=subject.kind.name,
        streams=setting.streams,
        threads=setting.threads,
        batch=setting.batch,
        images_per_second=best.median_throughput,
        batch_p50_ms=best.batch_percentile(50),
        batch_p99_ms=best.batch_percentile(99),
        smallest_batch=search.choices.one.batch,
        over_smallest_batch=throughput_over(best, one),
        one_stream_batch=single.batch,
        over_one_stream=throughput_over(best, singles[single]),
    )


def best_of(measured: Mapping[ThroughputSetting, Measurement]) -> ThroughputSetting:
    """Return the fastest setting, or of those that cannot be told from it the one of least latency.

    They are as fast where the interval of the ratio holds 1 and its middle is within `EQUAL`: an interval of few
    openings is so wide that it holds 1 for what is slower too. Of equal latencies fewer sessions, and smaller batches,
    need less memory.
    """
    fastest = max(measured, key=lambda each: measured[each].median_throughput.value)

    def is_as_fast(setting: ThroughputSetting) -> bool:
        ratio = throughput_over(measured[setting], measured[fastest])
        return 1 in ratio and ratio.value >= 1 - EQUAL

    equal = [setting for setting in measured if setting == fastest or is_as_fast(setting)]
    return min(equal, key=lambda each: (measured[each].batch_percentile(50), each.streams, each.batch))


def throughput_over(ours: Measurement, theirs: Measurement) -> Interval:
    """Return the throughput of one over that of the other, by the rounds that both were timed in."""
    share = ours.configuration.images / theirs.configuration.images
    taken = [[share * second for second in opening] for opening in theirs.samples_s]
    return ratio_interval(taken, ours.samples_s, np.random.default_rng(_SEED))
