"""`measured.json`: what a search's finalists took on the machine that they are for, as that machine measured it.

To measure needs a search's folder and the runtime: neither PyTorch, nor the supernet, nor images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

from resnas_deploy.errors import BadInput
from resnas_deploy.files import records
from resnas_deploy.files.atomic import write_json
from resnas_deploy.files.outputs import claiming
from resnas_deploy.files.reading import read_json
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.latency.bounds import MEDIAN, RUNS
from resnas_deploy.measuring.latency.elsewhere import setup_of
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.measure import measure as measure_plan
from resnas_deploy.measuring.measurement import HOST, Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Report, check_samples
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.searching.found import (
    ANCHOR,
    FOUND,
    MOST_BYTES,
    NAME_THE_SEARCH,
    Found,
    FoundFinalist,
    from_document,
    read_found,
)
from resnas_deploy.searching.measured_limits import largest_share, pace_of

MEASURED = "measured.json"
SCHEMA = 1
OPENINGS = 3
_AGAIN = "measure again by `search.measure()` with `force`"


@dataclass(frozen=True)
class Measured:
    """The figures of finalists, by the reports of those that were measured together."""

    setting: Setting
    reports: tuple[Report, ...]  # whose configurations name the artifacts as `found.json` does, and by digest
    DERIVED: ClassVar = {"schema": int}

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, **records.to_json(self)}

    def write(self, folder: Path) -> None:
        """Write the document into a search's folder. Raise `StorageError` where it cannot be."""
        write_json(folder / MEASURED, self.to_json())

    @property
    def by_digest(self) -> Mapping[str, Measurement]:
        """Return the measurement of each graph: with the copies to and from a GPU, as profiles are."""
        found = (item for report in self.reports for item in report.measurements)
        return {item.configuration.digest: item for item in found if item.configuration.latency == HOST}

    def of(self, finalist: FoundFinalist) -> Measurement | None:
        """Return what was measured of a finalist, if it was."""
        return self.by_digest.get(finalist.digest)

    def pace(self, found: Found, finalist: FoundFinalist) -> float:
        """Return how many times as long as in its profile the machine took beside a finalist (`pace_of`)."""
        for report in self.reports:
            times = {item.configuration.digest: item for item in report.measurements if item.samples_s}
            if found.anchor and finalist.digest in times and found.anchor.digest in times:
                return pace_of(times[found.anchor.digest], found.anchor.ms)
        return 1.0

    def share(self, found: Found, finalist: FoundFinalist) -> float:
        """Return how much a finalist used up of the limit that it comes nearest to: above 1 it does not keep it."""
        return largest_share(found.limits, self.of(finalist), self.pace(found, finalist))

    def notes(self, asked: Setting) -> list[str]:
        """Say what may have disturbed the measurements, and whether the version is another than asked for."""
        found = [note for report in self.reports for note in report.notes()]
        if asked.version not in ("", self.setting.version):
            found.append(f"the profile is of {asked.version}, and {self.setting.version} was measured")
        return list(dict.fromkeys(found))


def measure(folder: Path, progress: Progress = silent, *, again: bool = False) -> Measured:
    """Measure the finalists of a search on this machine, as far as one is needed that keeps the limits.

    They are measured some at a time, and each time `measured.json` is written: what was measured is not measured again,
    unless it is to be. Raise `BadInput` where this is not the machine that the search was for, or its folder is not
    whole; `NotAvailable` where its runner is missing.
    """
    found = read_found(folder)
    if differing := differences(found.setting, _setting_here(_runnable(found.setting), found.setting)):
        raise BadInput(
            f"finalists must be measured in the setting that {folder / FOUND} asks for, found another here: "
            f"{'; '.join(differing)}; measure where the profile was made, or search again by a profile of this one"
        )
    with claiming(folder, resume=True, remedy=NAME_THE_SEARCH):
        return measure_waiting(folder, found, None if again else figures_there(folder, found), progress)


def measure_waiting(folder: Path, found: Found, there: Measured | None, progress: Progress) -> Measured:
    """Measure those that are to be measured yet, in a search's folder that nobody else writes to."""
    setup = _runnable(found.setting)
    measured = there or Measured(_setting_here(setup, found.setting), ())
    while group := waiting(found, measured):
        progress(f"measuring {len(group)} finalists")
        report = _measured_together(folder, found, group, setup, progress)
        measured = replace(measured, reports=(*measured.reports, report))
        measured.write(folder)
    return measured


def _runnable(setting: Setting) -> Setup:
    """Return how networks are run in a setting. Raise `BadInput` or `NotAvailable` where they cannot be here."""
    setup = setup_of(setting)
    setup.kind.check(setting.precision, setting.device)
    return setup


def _setting_here(setup: Setup, asked: Setting) -> Setting:
    """Return a setup's setting on this machine, which goes by the name that is asked for where it is one of its own."""
    return setup.setting(asked.machine if this_machine(usable_cores()).is_called(asked.machine) else "")


def waiting(found: Found, measured: Measured | None) -> tuple[FoundFinalist, ...]:
    """Return the finalists that are to be measured next: none where one of those measured keeps the limits."""
    for start in range(0, len(found.finalists), found.together):
        group = found.finalists[start : start + found.together]
        figures = [measured.of(item) if measured else None for item in group]
        if None in figures:
            return tuple(item for item, figure in zip(group, figures, strict=True) if figure is None)
        if measured and any(measured.share(found, item) <= 1 for item in group):
            break
    return ()


def _measured_together(
    folder: Path, found: Found, group: Sequence[FoundFinalist], setup: Setup, progress: Progress
) -> Report:
    """Measure finalists interleaved with each other, and with the anchor where there is one."""
    names = {item.artifact: item.opened(folder) for item in group}
    if found.anchor:
        names[ANCHOR] = found.anchor.opened(folder)
    plan = Plan(
        subjects=tuple(Subject(artifact, setup.kind) for artifact in names.values()),
        batches=(setup.batch,),
        runs=max([RUNS[MEDIAN], *(limit.runs for limit in found.limits)]),
        threads=setup.cores,
        openings=OPENINGS,
        device=setup.device,
    )
    report = measure_plan(plan, Extras(energy=any(limit.figure == "energy" for limit in found.limits)), progress)
    if report.interrupted:
        raise KeyboardInterrupt
    written = {artifact.source: name for name, artifact in names.items()}
    renamed = (
        replace(item, configuration=replace(item.configuration, source=written[item.configuration.source]))
        for item in report.measurements
    )
    return replace(report, measurements=tuple(renamed))


def figures_there(folder: Path, found: Found) -> Measured | None:
    """Return what was measured before, if anything was. Raise `BadInput` as `read_measured` does."""
    path = folder / MEASURED
    return read_measured(path, found, _AGAIN) if path.exists() else None


def read_measured(path: Path, found: Found, remedy: str = "measure again by `search.measure()`") -> Measured:
    """Read figures of a search's finalists.

    Raise `BadInput`, which ends in `remedy`, for those of other artifacts, or of another setting than was asked for.
    """
    if not path.exists():
        raise BadInput(f"{path} must be there, found none; {remedy}")
    try:
        data = read_json(path, MOST_BYTES)
    except BadInput as error:  # a file that was cut
        raise BadInput(f"{error}; {remedy}") from None
    return measured_from(data, found, path, remedy)


def measured_from(data: object, found: Found, path: Path, remedy: str = "measure again") -> Measured:
    """Return what a document says that `Measured.to_json` made; `path` begins messages. Raise as `read_measured`."""
    measured = from_document(Measured, data, path, SCHEMA, remedy)
    if differing := differences(found.setting, measured.setting):
        raise BadInput(
            f"{path} must be of the setting that {FOUND} asks for, found another: {'; '.join(differing)}; {remedy}"
        )
    known = {item.digest for item in found.finalists} | ({found.anchor.digest} if found.anchor else set())
    for report in measured.reports:
        check_samples(report.reference, report.measurements, path)
        if not report.machine.is_called(measured.setting.machine):
            raise BadInput(
                f"{path} must be of one machine, {measured.setting.machine}, found a report of {report.machine.slug}; "
                f"{remedy}"
            )
        for item in report.measurements:
            given = item.configuration
            if given.digest not in known:
                raise BadInput(
                    f"{path} must be of the finalists in {FOUND}, found figures of another artifact, {given.label}, of "
                    f"digest {given.digest[:12]}; {remedy}"
                )
            wanted = (measured.setting.runner, measured.setting.precision, measured.setting.batch, 1)
            if (given.runner, given.precision, given.batch, given.streams) != wanted:
                raise BadInput(f"{path} must be of the setting {measured.setting}, found figures of {given}; {remedy}")
    return measured


def differences(asked: Setting, found: Setting) -> list[str]:
    """Return what differs between a setting that is asked for and another, a line each, but for the version.

    Of another version the figures are as true; `Measured.notes` says so. An empty machine may be any.
    """
    pairs = [(field.name, getattr(asked, field.name), getattr(found, field.name)) for field in fields(Setting)]
    free = {"version", *(["machine"] if not asked.machine else [])}
    return [f"{name} {there}, not {wanted}" for name, wanted, there in pairs if wanted != there and name not in free]
