"""Counts the kernels that a compiler makes of a network in each spelling. No GPU is needed for it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import Target
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.graph.spelling import Spelling
from resnas_deploy.progress import Progress, within
from resnas_deploy.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Count:
    """What one spelling became."""

    spelling: Spelling
    report: Mapping[str, Any] | None  # `LayerReport`, as plain data
    seconds: float = 0.0  # that the build took
    problem: str = ""  # why there is no report

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"spelling": self.spelling.describe(), "layers": self.report, "problem": self.problem or None}

    def figures(self) -> tuple[str, ...]:
        """Return kernels in all, of a block and of a reduction, and how many blocks' attention is one kernel."""
        if self.report is None:
            return ("not built", "", "", "")
        parts = self.report["parts"]
        fused = [part["fused_attention"] for part in parts if part["fused_attention"] is not None]
        return (
            str(self.report["kernels"]),
            _usual(part["kernels"] for part in parts if part["kind"] == "block"),
            _usual(part["kernels"] for part in parts if part["kind"] == "reduction"),
            f"{sum(fused)} of {len(fused)}",
        )


def _usual(values: Iterable[int]) -> str:
    """Return the commonest value."""
    return str(Counter(values).most_common(1)[0][0])


def count_kernels(
    checkpoint: Checkpoint,
    request: Request,
    target: Target,
    options: BuildOptions,
    spellings: Iterable[Spelling],
    progress: Progress,
) -> list[Count]:
    """Build what is requested in every spelling, in a folder that is gone afterwards; the fewest kernels come first.

    What the builder refuses in some spellings comes last. Raise `BadInput` where it refuses all of them.
    """
    counts: list[Count] = []
    failed: list[BadInput] = []
    with scratch_folder("kernels") as folder:
        tried_all = list(spellings)
        for number, spelling in enumerate(tried_all):
            of_one = within(number, len(tried_all), f"{spelling.name}: ", progress, stage="spellings")
            tried = replace(request, out=folder / spelling.name, spelling=spelling, verify_on=None, keep_failed=False)
            artifact = export(lambda: checkpoint, tried, of_one)
            try:
                built = build_engine(artifact, target, options, of_one, Path(f"{spelling.name}.build.log"))
            except BadInput as error:
                failed.append(error)
                counts.append(Count(spelling, None, problem=str(error)))
            else:
                counts.append(Count(spelling, built.engine.report["layers"], built.engine.report["seconds"]))
    if len(failed) == len(counts):
        raise failed[0]
    return sorted(counts, key=lambda count: count.report["kernels"] if count.report else math.inf)
