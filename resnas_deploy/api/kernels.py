"""Counting the kernels that a compiler makes of a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import FOR_CPUS, ORT, parse_capabilities, target_named
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.kernel_counts import Count, count_kernels
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.source import read_source
from resnas_deploy.graph.spelling import FOR_TENSORRT
from resnas_deploy.progress import Progress, silent
from resnas_deploy.weights.checkpoint import Checkpoint

_IMAGES = 1  # that a quantised graph is calibrated with: kernels do not depend on ranges


@dataclass(frozen=True)
class KernelCounts(Tabular):
    """How many kernels a builder makes of a network in each spelling of its graph; the fewest first."""

    name: str  # of the network
    builder: str  # and its version
    precision: str
    batch: BatchRange
    counts: tuple[Count, ...]
    default: str  # the spelling that an export for the target has

    @property
    def best(self) -> str:
        """The spelling of the fewest kernels."""
        return self.counts[0].spelling.name

    def to_json(self) -> dict[str, object]:
        """Return what `resnas kernels --json` prints."""
        return {
            "builder": self.builder,
            "precision": self.precision,
            "batch": str(self.batch),
            "default": self.default,
            "spellings": [count.to_json() for count in self.counts],
        }

    def table(self) -> Table:
        """Return a row for each spelling."""
        return Table(
            f"{self.name} {self.precision}, batch {self.batch}, {self.builder}",
            ("spelling", "kernels", "a block", "a reduction", "attention fused"),
            [(count.spelling.name, *count.figures()) for count in self.counts],
        )


@checked
def kernels(
    arch: str | Path | ArchSpec | None = None,
    *,
    checkpoint: str | Path | Checkpoint | None = None,
    precision: str = "fp16",
    batch: str | int = "1:64",
    target: str = "tensorrt-rtx",
    capability: str = "",
    progress: Progress = silent,
) -> KernelCounts:
    """Count the kernels of a network in every spelling of its graph. No GPU is needed.

    Args:
        arch: a published name, a file (JSON or a `network_def`), or an `ArchSpec`.
        checkpoint: weights (.safetensors) instead; only their architecture matters.
        precision: of the graph: fp16, bf16, fp32, int8 or fp8.
        batch: a range of batch sizes such as "1:64", or one size.
        target: the builder: tensorrt-rtx or tensorrt.
        capability: compute capabilities such as "8.9,12.0", or portable: 8.6, 8.9 and 12.0.
        progress: told what is being done.

    Raise `BadInput` where no spelling can be built, and `NotAvailable` where the builder is missing.
    """
    source, batches = read_source(arch, checkpoint), BatchRange.parse(str(batch))
    options = BuildOptions(capabilities=parse_capabilities(capability) if capability else ())
    builder = target_named(target)
    if builder.name in (*FOR_CPUS, ORT):
        raise BadInput(f"kernels are counted of TensorRT's targets, found {target}; use `target` tensorrt-rtx")
    builder.check(precision, options.capabilities)
    built_by = builder.builder()  # before graphs are emitted: it is missing, or not
    request = Request(
        "counted", Path("counted"), precision, batches, for_engine=True, verify_on=None, calibration_images=_IMAGES
    )
    counts = count_kernels(source.load(), request, builder, options, request.spellings.values(), progress)
    return KernelCounts(source.name, built_by, precision, batches, tuple(counts), FOR_TENSORRT.name)
