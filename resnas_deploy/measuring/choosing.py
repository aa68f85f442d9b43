"""The spelling or the alignment that is fastest here, or has the fewest kernels: what `auto` means to `export()`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace

from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import Target
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.export import Request, export
from resnas_deploy.exporting.kernel_counts import count_kernels
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.graph.spelling import SPELLINGS
from resnas_deploy.measuring.compare import choose_fastest
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import RunnerKind, usable_cores
from resnas_deploy.weights.checkpoint import Checkpoint

_BATCH = 8  # that is measured, where the range has it
_log = logging.getLogger(__name__)


def with_auto_spelling(
    request: Request,
    load_weights: Callable[[], Checkpoint],
    kind: RunnerKind,
    target: Target | None,
    progress: Progress,
) -> Request:
    """Return the request with the fastest spelling on that runner, or without its device, the fewest kernels."""
    first = request.written_in
    spellings = {first.name: first} | SPELLINGS
    if kind.problem() is None:
        requests = {name: replace(request, spelling=spelling) for name, spelling in spellings.items()}
        return replace(request, spelling=spellings[_fastest(requests, load_weights, kind, progress, "spelling")])
    if target is None:
        raise BadInput(f"`spelling` auto must measure on {kind.name}, which cannot run here: {kind.problem()}")
    counts = count_kernels(load_weights(), request, target, BuildOptions(), spellings.values(), progress)
    found = ", ".join(
        f"{count.spelling.name} has {count.report['kernels']} kernels"
        if count.report
        else f"{count.spelling.name} fails"
        for count in counts
    )
    _log.info(f"spelling {counts[0].spelling.name} ({found}; {kind.problem()})")
    return replace(request, spelling=counts[0].spelling)


def with_auto_alignment(
    request: Request, load_weights: Callable[[], Checkpoint], kind: RunnerKind, progress: Progress
) -> Request:
    """Return the request with the alignment that is fastest on that runner: 1, unless another is surely faster."""
    if problem := kind.problem():
        raise BadInput(f"`align` auto must measure on {kind.name}, which cannot run here: {problem}; give a number")
    requests = {str(multiple): replace(request, align=multiple) for multiple in ALIGNMENTS}
    return replace(request, align=int(_fastest(requests, load_weights, kind, progress, "alignment")))


def _fastest(
    requests: Mapping[str, Request],
    load_weights: Callable[[], Checkpoint],
    kind: RunnerKind,
    progress: Progress,
    what: str,
) -> str:
    """Export every candidate to a folder that is gone afterwards and measure them interleaved."""
    checkpoint = load_weights()
    with scratch_folder("candidates") as folder:
        candidates = {}
        for name, request in requests.items():
            progress(f"{what} {name}")
            tried = replace(request, out=folder / name, verify_on=None, keep_failed=False, force=False)
            candidates[name] = export(lambda: checkpoint, tried, progress)
        batch = next(iter(requests.values())).batch
        size = _BATCH if _BATCH in batch else batch.least
        found = choose_fastest(
            candidates, kind, size, next(iter(requests.values())).threads or usable_cores(), progress
        )
    _log.info(f"{what} {found}, on {kind.name} at batch {size}")
    return found.chosen
