"""The spelling or the alignment that is fastest here, or has the fewest kernels: what `auto` means to `export()`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import Target
from resnas_deploy.errors import BadInput
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.measuring.compare import FASTER, Comparison, compared
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.statistics import LEAST_OPENINGS
from resnas_deploy.progress import Progress, within
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    from resnas_deploy.exporting.request import Request

_BATCH, _RUNS = 8, 60  # that are measured, where the range has the batch
_log = logging.getLogger(__name__)


def with_auto_spelling(
    request: Request,
    load_weights: Callable[[], Checkpoint],
    kind: RunnerKind,
    target: Target | None,
    progress: Progress,
) -> Request:
    """Return the request with the fastest spelling on that runner, or without its device, the fewest kernels."""
    spellings = request.spellings
    if kind.problem() is None:
        requests = {name: replace(request, spelling=spelling) for name, spelling in spellings.items()}
        name, how = _fastest(requests, load_weights, kind, progress, "spelling")
        return replace(request, spelling=spellings[name], spelling_chosen=how)
    if target is None:
        raise BadInput(f"`spelling` auto must measure on {kind.name}, which cannot run here: {kind.problem()}")
    from resnas_deploy.exporting.kernel_counts import count_kernels  # imports onnx

    counts = count_kernels(load_weights(), request, target, BuildOptions(), spellings.values(), progress)
    found = ", ".join(
        f"{count.spelling.name} has {count.report['kernels']} kernels"
        if count.report
        else f"{count.spelling.name} fails"
        for count in counts
    )
    _log.info(f"spelling {counts[0].spelling.name} ({found}; {kind.problem()})")
    return replace(request, spelling=counts[0].spelling, spelling_chosen=f"the fewest kernels by {target.name}")


def with_auto_alignment(
    request: Request, load_weights: Callable[[], Checkpoint], kind: RunnerKind, progress: Progress
) -> Request:
    """Return the request with the alignment that is fastest on that runner: 1, unless another is surely faster."""
    if problem := kind.problem():
        raise BadInput(f"`align` auto must measure on {kind.name}, which cannot run here: {problem}; give a number")
    requests = {str(multiple): replace(request, align=multiple) for multiple in ALIGNMENTS}
    return replace(request, align=int(_fastest(requests, load_weights, kind, progress, "alignment")[0]))


def _fastest(
    requests: Mapping[str, Request],
    load_weights: Callable[[], Checkpoint],
    kind: RunnerKind,
    progress: Progress,
    what: str,
) -> tuple[str, str]:
    """Export every candidate to a folder that is gone afterwards and measure them interleaved.

    Returns the fastest, and how and where it was found: another CPU, or one with another instruction set, may have
    another, so it is said and nothing is assumed of it.
    """
    from resnas_deploy.exporting.export import export  # imports onnx

    checkpoint = load_weights()
    with scratch_folder("candidates") as folder:
        candidates = {}
        for number, (name, request) in enumerate(requests.items()):
            told = within(number, len(requests), f"{what} {name}: ", progress, stage=what)
            tried = replace(request, out=folder / name, verify_on=None, keep_failed=False, force=False)
            candidates[name] = export(lambda: checkpoint, tried, told)
        batch = next(iter(requests.values())).batch
        size = _BATCH if _BATCH in batch else batch.least
        threads = next(iter(requests.values())).threads or usable_cores()
        found = choose_fastest(candidates, kind, size, threads, progress)
    how = f"on {kind.name} at batch {size}, {threads} threads, on {this_machine(usable_cores()).described}"
    _log.info(f"{what} {found}, {how}")
    return found.chosen, f"the fastest {how}"


@dataclass(frozen=True)
class Choice:
    """The name of what was chosen, and how each other candidate compares with the first."""

    chosen: str
    comparisons: Mapping[str, Comparison]

    def __str__(self) -> str:
        found = ", ".join(
            f"{name} takes {item.ratio.value:.3f} of the time ({item.ratio.low:.3f} to {item.ratio.high:.3f})"
            for name, item in self.comparisons.items()
        )
        return f"{self.chosen} ({found})"


def choose_fastest(
    candidates: Mapping[str, Artifact], kind: RunnerKind, batch: int, threads: int, progress: Progress
) -> Choice:
    """Measure all candidates and take the fastest of those that are surely faster than the first one."""
    plan = Plan(
        subjects=tuple(Subject(artifact, kind) for artifact in candidates.values()),
        batches=(batch,),
        runs=_RUNS,
        threads=threads,
        openings=LEAST_OPENINGS,
    )
    report = measure(plan, Extras(), progress)
    measured = {item.configuration.source: item for item in report.measurements}
    names = {artifact.source: name for name, artifact in candidates.items()}
    first, *others = (measured[artifact.source] for artifact in candidates.values())
    if report.interrupted:
        raise KeyboardInterrupt
    if first.failure is not None:
        raise BadInput(f"the candidates must be measured to choose among them, found: {first.failure}")
    comparisons = {
        names[other.configuration.source]: found[0] for other in others if (found := compared((first, other)))
    }
    faster = {name: item.ratio.value for name, item in comparisons.items() if item.verdict == FASTER}
    return Choice(min(faster, key=faster.__getitem__, default=next(iter(candidates))), comparisons)
