"""What a gate may have found, and histories of it, made up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from support.made_up_measuring import MACHINE, configuration

from resnas_deploy.api.gate import Gated
from resnas_deploy.measuring.gate import Change
from resnas_deploy.measuring.history.history import History
from resnas_deploy.measuring.history.record import record_of
from resnas_deploy.measuring.statistics import Interval

BEGINNING = datetime(2026, 1, 31, 12, tzinfo=UTC)
OTHER_MACHINE = replace(MACHINE, cpu="another CPU")


def around(value, width=0.01):
    return Interval(value, value * (1 - width), value * (1 + width))


def change(ratio, **changes):
    """A configuration that takes so many times what it took: as sure as one per cent."""
    return Change(configuration(**changes), around(0.02), around(0.02 * ratio), 12)


def gated(*changes, **more):
    usual = {
        "baseline": "baselines/a-machine.json",
        "differences": (),
        "changes": changes,
        "missing": (),
        "notes": (),
        "interrupted": False,
        "machine": MACHINE,
        "baseline_digest": "ab" * 32,
    }
    return Gated(**usual | more)


def history(ratios, *, label="small fp32", machines=(MACHINE,), torn=0):
    """A run for each ratio, two cases in each, in turns of five on each machine; the second case does not change."""
    records = [
        record_of(
            gated(
                change(ratio, label=label),
                change(1.0, label=label, batch=8, images=8),
                machine=machines[number // 5 % len(machines)],
                baseline_digest=("ab" if number < 7 else "cd") * 32,
            ),
            BEGINNING + timedelta(days=number),
            commit=f"{number:040x}",
            branch="main",
        )
        for number, ratio in enumerate(ratios)
    ]
    return History("history.jsonl", tuple(records), torn)
