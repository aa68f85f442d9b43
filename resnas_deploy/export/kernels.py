"""Counts the kernels that a compiler makes of a network in each spelling. No GPU is needed for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.checkpoint import Checkpoint
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.target import Target
from resnas_deploy.export.pipeline import Request, export
from resnas_deploy.export.spelling import Spelling


@dataclass(frozen=True)
class Count:
    """What one spelling became."""

    spelling: Spelling
    report: dict[str, object]  # `LayerReport`, as plain data
    seconds: float  # that the build took


def count_kernels(
    checkpoint: Checkpoint,
    request: Request,
    target: Target,
    options: BuildOptions,
    spellings: Iterable[Spelling],
    report: Callable[[str], None],
) -> list[Count]:
    """Build what is requested in every spelling, in a folder that is gone afterwards; the fewest kernels come first."""
    counts = []
    with tempfile.TemporaryDirectory(prefix="resnas-kernels-") as folder:
        for spelling in spellings:

            def tell(text: str, name: str = spelling.name) -> None:
                report(f"{name}: {text}")

            tried = replace(
                request, out=Path(folder) / spelling.name, spelling=spelling, verify_on=None, keep_failed=False
            )
            built = build_engine(export(lambda: checkpoint, tried, tell), target, options, tell)
            counts.append(Count(spelling, built.engine.report["layers"], built.engine.report["seconds"]))
    return sorted(counts, key=lambda count: int(str(count.report["kernels"])))
