"""The tables and sentences of docs/evidence.md, from the result files."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from tabulated import table

from evidence import latencies, parts, residual, sampling, search, state, verdicts
from evidence.job import Done
from evidence.latencies import LEAST
from evidence.verdicts import WANTED

NOT_YET = "Not run yet"
FRACTIONS = {1 / 4: "a quarter", 1 / 2: "half", 1: "all"}


@cache
def done() -> tuple[Done, ...]:
    """Return what the result files hold that belongs to the campaign as it is."""
    return tuple(parts.planned(one for part in parts.PARTS for one in state.recorded(part))[1])


def progress() -> str:
    """Return how much of the campaign is done, where, and the hours of a core that it took."""
    jobs, there = parts.planned(done())
    rows = {}
    for part, own in jobs.items():
        those = [one for one in there if one.part == part]
        machines = dict.fromkeys(f"{one.machine['cpu']}, {one.machine['instructions']}" for one in those)
        hours = f"{sum(one.seconds for one in those) / 3600:.1f}" if those else ""
        rows[part] = [f"{len(those)} of {len(own)}" if own else "waits", hours, "; ".join(machines)]
    return table(("part", "done", "hours of a core", "machine"), rows)


def gate() -> str:
    """Return how far networks that are trained alone lie apart."""
    found = verdicts.gate(done())
    rows = {
        name: [f"{found.macs[name] / 1e6:.1f}", f"{np.mean(each):.3f}", f"{np.ptp(each):.3f}"]
        for name, each in found.entropy.items()
    }
    return table(("", "MACs, millions", "cross-entropy", "apart between seeds"), rows)


def gate_in_words() -> str:
    """Return how many times as far networks lie apart as seeds do: random ones, and those chosen after that."""
    random, chosen = (_gate(part) for part in (sampling.GATE, sampling.ALONE))
    return f"Random subnets: {random}. From the narrowest on towards the widest: {chosen}."


def _gate(part: str) -> str:
    found = verdicts.gate(done(), part)
    if len(found.entropy) < 2:
        return NOT_YET
    kept = "passed" if found.ratio >= WANTED else "not passed"
    low, high = (end(found.macs[name] for name in found.entropy) / 1e6 for end in (min, max))
    return (
        f"{len(found.entropy)} networks of {low:.1f} to {high:.1f} million MACs lie {found.between:.3f} nats apart "
        f"(standard deviation), seeds {found.within:.3f}; {found.ratio:.1f} times as far, {kept}"
    )


def residual_table() -> str:
    """Return what the residual lowers, by depth, learning rate and step."""
    found, rows = verdicts.residuals(done()), {}
    for depth in residual.DEPTHS:
        for times in residual.RATES:
            seeds = found.seeds(depth, times)
            if not seeds:
                continue
            for step in residual.READ_AT:
                means = [f"{found.mean(depth, times, step, way=way):.3f}" for way in (True, False)]
                failed = [str(found.failures(depth, times, way=way)) for way in (True, False)]
                last = step == residual.STEPS
                rows[f"{depth} blocks a stage, rate {times}x, step {step}"] = [
                    *means,
                    found.effect(depth, times, step).text(),
                    f"{failed[0]} and {failed[1]} of {len(seeds)}" if last else "",
                ]
    return table(("", "with", "without", "lower by", "failed with and without"), rows)


def residual_interaction() -> str:
    """Return by how much more the residual helps in deep networks."""
    found, rows = verdicts.residuals(done()), {}
    for times in residual.RATES:
        if all(found.seeds(depth, times) for depth in residual.DEPTHS):
            rows[f"rate {times}x"] = [found.interaction(times, step).text() for step in residual.READ_AT]
    return table(("deep less shallow", *(f"step {step}" for step in residual.READ_AT)), rows)


def residual_verdict() -> str:
    """Return the claim's verdict: of deep networks at the usual rate, at the end; and what goes with it."""
    found, (deep, shallow), last = verdicts.residuals(done()), residual.DEPTHS, residual.STEPS
    if any(len(found.seeds(depth, times)) < 2 for depth in residual.DEPTHS for times in residual.RATES):
        return NOT_YET
    main = found.effect(deep, 1, last)
    fast, control = found.effect(deep, 3, last).text(), found.effect(shallow, 1, last).text()
    return (
        f"{main.sentence()}: {deep} blocks a stage end {main.text()} nats lower with it over {len(main.values)} pairs; "
        f"at three times the rate {fast}; {shallow} blocks {control}. That depth makes it help more is "
        f"{found.interaction(1, last).verdict} ({found.interaction(1, last).text()}), at three times the rate "
        f"{found.interaction(3, last).verdict} ({found.interaction(3, last).text()})"
    )


def sampling_table() -> str:
    """Return the cross-entropy of subnets, by subnets a step and by how many of the images were seen."""
    found, rows = verdicts.samplings(done()), {}
    for step in sampling.READ_AT:
        for groups in sorted(sampling.GROUPS):
            seeds = found.seeds(groups)
            if not seeds:
                continue
            means = [
                f"{np.mean(found.of(groups, step, what, seeds)):.3f}" for what in ("random", "widest", "narrowest")
            ]
            ours = found.effect(groups, step).text() if groups > 1 and found.seeds(groups, 1) else ""
            ranks = found.correlations(groups, step)
            rank = f"{np.mean(ranks):.2f} ({min(ranks):.2f} to {max(ranks):.2f})" if ranks else ""
            higher = found.ranks(groups, step).text(2) if ranks and groups > 1 and found.seeds(groups, 1) else ""
            rows[f"{FRACTIONS[step / sampling.STEPS]} of the images, {groups} a step"] = [*means, ours, rank, higher]
    heads = (
        "50 random subnets",
        "widest",
        "narrowest",
        "lower than with 1 by",
        "rank correlation",
        "higher than with 1 by",
    )
    return table(("", *heads), rows)


def ranks_in_words() -> str:
    """Return what a rank correlation has to be compared with."""
    found = verdicts.gate(done())
    if len(found.entropy) < sampling.RANKED:
        return NOT_YET
    by_macs, by_seed = verdicts.baselines(found)
    return (
        f"MACs alone rank the networks with {by_macs:.2f}, and one seed of training alone the other with {by_seed:.2f}"
    )


def sampling_verdict() -> str:
    """Return the claim's verdict: 16 subnets a step against 1, at the end."""
    found = verdicts.samplings(done())
    if len(found.seeds(16, 1)) < 2:
        return NOT_YET
    effect = found.effect(16, sampling.STEPS)
    return (
        f"{effect.sentence()}: 50 random subnets end {effect.text()} nats lower with 16 a step than with one, over "
        f"{len(effect.values)} pairs of supernets"
    )


def spread_table() -> str:
    """Return how far latencies lie apart at equal MACs."""
    rows = {
        name: [
            str(one.networks),
            f"{one.share:.1%} ({one.low:.1%} to {one.high:.1%})",
            f"{one.noise:.1%}",
            f"{one.most:.2f}",
            f"{one.with_depth:.2f}",
        ]
        for name, one in latencies.spreads(done()).items()
    }
    return table(
        ("", "networks", "standard deviation", "noise", "slowest over fastest", "rank correlation with depth"), rows
    )


def kernels_table() -> str:
    """Return how many kernels TensorRT for RTX makes of networks of equal MACs."""
    rows = {}
    for name, each in latencies.kernels(done()).items():
        counts, blocks = ([one[place] for one in sorted(each)] for place in (1, 0))
        rows[name] = [str(len(each)), f"{min(counts)} to {max(counts)}", f"{min(blocks)} to {max(blocks)}"]
    return table(("", "networks", "kernels", "blocks"), rows)


def spread_verdict() -> str:
    """Return in how many settings there is something to gain."""
    found = latencies.spreads(done())
    if not found:
        return NOT_YET
    above = [name for name, one in found.items() if one.low > LEAST]
    below = [name for name, one in found.items() if one.high < LEAST]
    return (
        f"At equal MACs the standard deviation of latency is above {LEAST:.0%} in {len(above)} of {len(found)} "
        f"settings with its whole interval, and below in {len(below)}"
    )


def search_table() -> str:
    """Return what either search takes at each limit, over the supernets."""
    found = latencies.searched(done())
    if found is None:
        return "The searches were not run yet."
    rows = {}
    for number in range(search.LIMITS - 1, -1, -3)[::-1]:
        cells = [f"{found.limits[number]:.2f}"]
        for by in ("latency", "macs"):
            cells += [
                f"{np.mean([found.ms[seed, by][number] for seed in found.seeds]):.2f}",
                f"{np.mean([found.entropy[seed, by][number] for seed in found.seeds]):.3f}",
            ]
        rows[f"{search.SHARES[number]:.0%} of the pool"] = cells
    heads = ("limit, ms", "by latency: ms", "cross-entropy", "by MACs: ms", "cross-entropy")
    over = [f"{found.over(by):.0%} of those by {name}" for by, name in (("latency", "latency"), ("macs", "MACs"))]
    low, high = found.bootstrap()
    return (
        f"{table(('', *heads), rows)}\n\nLonger than the limit by more than one per cent when measured: {over[0]}, and "
        f"{over[1]}, which were given no such limit. By bootstrap over the supernets the gain lies between "
        f"{low:+.3f} and {high:+.3f}."
    )


def search_verdict() -> str:
    """Return the claim's verdict: at equal measured latency."""
    found = latencies.searched(done())
    if found is None:
        return f"{spread_verdict()}. The searches: not run yet"
    effect = found.gain()
    return (
        f"{effect.sentence()}: {effect.text()} nats lower at equal measured latency over {len(effect.values)} "
        f"supernets. {spread_verdict()}"
    )


TABLES: dict[str, Callable[[], str]] = {
    "evidence-progress": progress,
    "evidence-gate": gate,
    "evidence-residual": residual_table,
    "evidence-interaction": residual_interaction,
    "evidence-sampling": sampling_table,
    "evidence-spread": spread_table,
    "evidence-kernels": kernels_table,
    "evidence-search": search_table,
}
FIGURES: dict[str, Callable[[], str]] = {
    "evidence-gate-verdict": gate_in_words,
    "evidence-residual-verdict": residual_verdict,
    "evidence-sampling-verdict": sampling_verdict,
    "evidence-ranks": ranks_in_words,
    "evidence-latency-verdict": search_verdict,
}
