"""Measuring a GPU, whatever is installed: one report of what runs, how fast, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.progress import Progress, silent

if TYPE_CHECKING:
    from resnas_deploy.surveying.results import Survey


@dataclass(frozen=True)
class GpuReport(Tabular):
    """What was measured of a GPU, what failed, and what was left out. `survey` has all of it, typed."""

    survey: Survey
    out: Path

    @property
    def page(self) -> Path:
        """The page that shows it."""
        return self.out / "report.html"

    def to_json(self) -> dict[str, object]:
        """Return what report.json holds."""
        return self.survey.to_json()

    def table(self) -> Table:
        """Return what was timed, a row for each configuration."""
        from resnas_deploy.surveying.tables import figures_table

        return figures_table(self.survey)

    def tables(self) -> list[Table]:
        """Return all tables that have rows: times, limits, kernels, training, the latency model, aims, failures."""
        from resnas_deploy.surveying import tables

        found = [
            self.table(),
            tables.limits_table(self.survey),
            tables.reductions_table(self.survey),
            tables.training_table(self.survey),
            tables.model_table(self.survey),
            tables.aims_table(self.survey),
            tables.missing_table(self.survey),
            tables.failed_table(self.survey),
        ]
        return [table for table in found if table.rows]

    def notes(self) -> list[str]:
        """Say what the report is of, what disturbed it and what was left out, a line each."""
        from resnas_deploy.surveying.results import NO_TIME
        from resnas_deploy.surveying.tables import lines_of, summary

        left = [step.name for step in self.survey.steps if step.error == NO_TIME]
        found = [*lines_of(self.survey), f"steps: {summary(self.survey.steps)}"]
        if left:
            found.append(
                f"no time was left for {len(left)} step{'s' if len(left) > 1 else ''}, {left[0]} first; "
                "the same command with `minutes` 60 goes on"
            )
        return found


@checked
def gpu_report(
    out: str | Path,
    *,
    minutes: float = 8,
    device: str = "cuda:0",
    tests: str | Path | None = None,
    steps: Sequence[str] = (),
    progress: Progress = silent,
) -> GpuReport:
    """Measure a GPU with whatever is installed, in steps ordered by worth, each in a process of its own.

    A crash, a hang or a lack of memory costs one step. Results are written as they come; the same call goes on where
    one was stopped, and steps that have ended are not run again unless the machine or the packages changed. In the end
    the folder has `report.json` and `report.html`.

    Args:
        out: the folder of the report: a new one, or that of the report that is to go on.
        minutes: that it may take; 0 writes the report of what is there.
        device: cuda or cuda:N; cpu rehearses all of it at tiny sizes, and its figures mean nothing.
        tests: a checkout of resnas whose tests for GPUs are run too.
        steps: names of steps, or patterns such as small-fp16-*: these alone, and again where they have ended before.
        progress: told what is being done.

    Failures are in the report, and raise nothing; Ctrl-C ends it early, and the report says so. Raise `BadInput` for a
    folder of something else or one that another report is written to, `NotAvailable` where there is no such GPU or a
    package is missing that everything needs, `StorageError` where the folder cannot be written.
    """
    from resnas_deploy.surveying.base import check_base

    check_base()
    from resnas_deploy.surveying.survey import Asked, survey

    asked = Asked(Path(out), minutes, device, Path(tests) if tests is not None else None, tuple(steps))
    return GpuReport(survey(asked, progress), Path(out))
