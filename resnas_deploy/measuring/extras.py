"""What is found out beside the times: where the time goes by kind of block, and the machine's own limit."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.engines.finding import Need
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import BadInput, NotAvailable, StorageError
from resnas_deploy.files.user_folders import cache_folder
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.machine.memory import is_out_of_memory
from resnas_deploy.measuring.machine.roofline import Ceilings, minimum_seconds
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Report
from resnas_deploy.precision import FLOATS
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Network, Options
from resnas_deploy.runners.kind import RunnerKind

KINDS = ("stem", "attention", "MLP", "reduction", "head", "other")
RUNS = 10
_BLOCK = re.compile(r"stage\d+\.block\d+\.(norm1|attention|norm2|mlp)?")
_PARTS = {"norm1": "attention", "attention": "attention", "norm2": "MLP", "mlp": "MLP"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extras:
    """What to find out beside the times."""

    energy: bool = False
    shares: bool = False
    ceilings: bool = False  # which are kept in the user's cache


def with_extras(report: Report, plan: Plan, extras: Extras, progress: Progress) -> Report:
    """Return the report with its shares of time and its ceilings, as far as they are asked for and can be found out.

    What cannot be is logged: what was timed is worth more.
    """
    found = report.measurements
    if extras.shares:
        found = tuple(_with_shares(plan, item, progress) for item in found)
    if extras.ceilings:
        folder = cache_folder()
        if folder is None:
            _log.warning("there is no home and no XDG_CACHE_HOME, so the machine's ceilings are measured each time")
        ceilings = Ceilings(report.machine, folder)
        found = tuple(_under_ceiling(plan, item, ceilings, progress) for item in found)
    return replace(report, measurements=found)


def _subject(plan: Plan, item: Measurement) -> Subject:
    c = item.configuration
    return next(
        subject
        for subject in plan.subjects
        if (subject.network.source, subject.kind.name) == (c.source, c.runner)
        and (subject.engine is None or subject.engine.path.stem == c.engine)
    )


def _with_shares(plan: Plan, item: Measurement, progress: Progress) -> Measurement:
    """Add the share of time by kind of block, where the runtime can tell and memory and the disk allow."""
    subject, configuration = _subject(plan, item), item.configuration
    if item.failure is not None or configuration.streams > 1:
        return item
    progress(f"where the time goes: {configuration}")
    options = Options(configuration.threads, device=plan.device, profile=True, tf32=plan.tf32, engine=subject.engine)
    try:
        return replace(item, shares=shares(subject.network, subject.kind, configuration.batch, options))
    except (BadInput, StorageError) as error:
        _log.warning("where the time goes could not be found out: %s", error)
        return item
    except Exception as error:  # each runtime has a class of its own for this
        if not is_out_of_memory(error):
            raise
        return item


def _under_ceiling(plan: Plan, item: Measurement, ceilings: Ceilings, progress: Progress) -> Measurement:
    """Add the least time that this machine could take, where the network is one of ours."""
    subject, configuration = _subject(plan, item), item.configuration
    arch = subject.network.arch
    if item.failure is not None or arch is None or configuration.computes not in FLOATS:
        return item
    try:
        top = ceilings.of(subject.kind.device(plan.device), configuration.computes, plan.threads, progress)
    except NotAvailable as error:
        progress(str(error))
        return item
    least = minimum_seconds(arch, configuration.batch, configuration.precision, top)
    return replace(item, ceiling_ms=1e3 * least * configuration.images / configuration.batch, ceiling_from=top.flops_by)


def shares(network: Network, kind: RunnerKind, batch: int, options: Options) -> dict[str, float] | None:
    """Return shares of the time of one pass by `KINDS`, which sum to 1; None where the runtime or the network has none.

    `options` must ask for a profile. The runtime runs a little slower while it takes one.
    """
    with open_runner(kind, network, options, need=Need((batch,), tuned=True)) as runner:
        images = noise(batch, network.image_size, input_named(network.input))
        runner.run(images)  # what happens once does not count
        return by_kind(runner.profile(images, RUNS))


def by_kind(seconds: Mapping[str, float]) -> dict[str, float] | None:
    """Sum the seconds of operations by the kind of block that their names begin with, and divide by the whole."""
    total = dict.fromkeys(KINDS, 0.0)
    for name, time in seconds.items():
        total[kind_of(name)] += time
    whole = sum(total.values())
    if whole == total["other"]:  # not our names, or none at all
        return None
    return {kind: time / whole for kind, time in total.items()}


def kind_of(name: str) -> str:
    """Return the kind of block that an operation belongs to. Norms belong to what reads them."""
    if block := _BLOCK.match(name):
        return _PARTS.get(block[1] or "", "other")
    return next((kind for kind in ("stem", "reduction", "head") if name.startswith(kind)), "other")
