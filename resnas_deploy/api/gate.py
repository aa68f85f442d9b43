"""The gate: whether anything has become slower than its baseline, told as a table, a page, Markdown and a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from resnas_deploy.api.bench import several
from resnas_deploy.api.bench_tables import changes_table
from resnas_deploy.api.history import History
from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.engines.finding import AnyNetwork
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import write_text
from resnas_deploy.measuring import gate as gating
from resnas_deploy.measuring import report as reporting
from resnas_deploy.measuring.baseline import compare_with_baseline
from resnas_deploy.measuring.gate_page import gate_page
from resnas_deploy.measuring.gate_summary import summary
from resnas_deploy.measuring.history.history import add_to_history
from resnas_deploy.measuring.history.record import record_of
from resnas_deploy.measuring.plan import RUNS, Effort
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.registry import runner_kind


@dataclass(frozen=True)
class Gated(gating.Gated, Tabular):
    """What the gate found: everything of a baseline, beside what it is now."""

    def table(self) -> Table:
        """Return each configuration now and in the baseline."""
        return changes_table(self)

    def markdown(self) -> str:
        """Return it as Markdown, for the summary of a CI job or a comment."""
        return summary(self, self.table())

    @checked
    def save_summary(self, path: str | Path, *, force: bool = False) -> None:
        """Write it as Markdown. Raise `BadInput` where a file is there that `force` does not replace."""
        write_text(Path(path), self.markdown(), replace=force)

    @checked
    def save_page(self, path: str | Path, *, history: History | None = None, force: bool = False) -> None:
        """Write it as a page of HTML that needs no other file, with a history's charts where one is given."""
        write_text(Path(path), gate_page(self, self.table(), history).html(), replace=force)

    @checked
    def add_to(self, history: str | Path, *, commit: str = "", branch: str = "") -> int:
        """Add it to the file of a history, which is made where it is not there.

        Several processes may do so at once. Return how many bytes were taken away that a killed one had left. Raise
        `BadInput` where this was interrupted and is not whole, `StorageError` where it cannot be written.
        """
        if self.interrupted:
            raise BadInput("a run of `gate()` must be whole to be kept in a history, found one that was interrupted")
        return add_to_history(Path(history), record_of(self, datetime.now(UTC), commit, branch))


@checked
def gate(
    baseline: str | Path | reporting.Report,
    artifacts: AnyNetwork | Sequence[AnyNetwork] = (),
    *,
    runners: Sequence[str] = (),
    batches: Sequence[int] = (),
    runs: int = RUNS,
    openings: int | None = None,
    device: str = "",
    cuda_graph: bool = False,
    tf32: bool = False,
    engine_cache: str | Path | None = None,
    threshold: float = gating.THRESHOLD_PERCENT,
    accept_different: bool = False,
    progress: Progress = silent,
) -> Gated:
    """Measure again what a baseline holds, and say whether anything has become slower.

    Both are taken relative to a reference workload that is timed in the same rounds, since a shared machine may be
    twice as slow minutes later. What looks slower is measured again before it counts.

    Args:
        baseline: a saved report of `bench`, a folder of them, one for each machine, or a report itself.
        artifacts: folders, engines in them, bare ONNX files, or opened artifacts; those that the baseline names
            where none is given, and the engines that it measured, where they are still there.
        runners: of the baseline, only what ran on these; everything where none is given.
        batches: of the baseline, only these sizes; all where none is given.
        threshold: per cent, beyond which something is slower, if the interval excludes "as before" too.
        accept_different: compare with a baseline of another machine or other versions.
        runs, openings, device, cuda_graph, tf32, engine_cache, progress: as those of `bench`.

    Ctrl-C ends it early, and the result says so; its `check` raises `RegressionFound` where something is slower. Raise
    `BadInput` for a baseline that cannot be compared with, and what `bench` raises.
    """
    found = compare_with_baseline(
        Path(baseline) if isinstance(baseline, str) else baseline,
        several(artifacts),
        Effort(runs, openings, device=device, cuda_graph=cuda_graph, tf32=tf32, engine_cache=str(engine_cache or "")),
        runners=[runner_kind(name, "`runners`").name for name in runners],
        batches=batches,
        threshold=1 + threshold / 100,
        accept_different=accept_different,
        progress=progress,
    )
    return Gated(**{field.name: getattr(found, field.name) for field in fields(found)})
