"""`resnas kernels`: how many kernels a compiler makes of a network, in each spelling."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnas_deploy.batch import BatchRange
from resnas_deploy.cli.build import CapabilityOption, TargetOption
from resnas_deploy.cli.options import ArchOption, Json, complete
from resnas_deploy.cli.output import print_json, print_table, progress, say
from resnas_deploy.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_IMAGES = 1  # that a quantised graph is calibrated with: kernels do not depend on ranges
_PRECISIONS = ("fp16", "bf16", "fp32", "int8", "fp8")


def kernels(
    arch: ArchOption = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights (.safetensors); only their architecture matters.", metavar="FILE", show_default="none"
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help=f"Of the graph: {', '.join(_PRECISIONS)}.", metavar="NAME", autocompletion=complete(_PRECISIONS)
        ),
    ] = "fp16",
    batch: Annotated[str, typer.Option(help="A range of batch sizes, or one size.", metavar="N:M|N")] = "1:64",
    target: TargetOption = "tensorrt-rtx",
    capability: CapabilityOption = "",
    as_json: Json = False,
) -> None:
    """Count the kernels of a network in every spelling of its graph. The fewest come first; no GPU is needed.

    Examples:
    $ resnas kernels --arch small
    $ resnas kernels --arch medium --precision bf16 --capability 12.0
    """
    if not arch and checkpoint is None:
        raise BadInput("there must be --arch or --checkpoint, found neither; try: resnas kernels --arch small")
    batches = BatchRange.parse(batch)
    with progress() as tell:
        tell("loading")
        from resnas_deploy.engines.options import BuildOptions
        from resnas_deploy.engines.targets import AOTI, parse_capabilities, target_named
        from resnas_deploy.exporting.export import Request
        from resnas_deploy.exporting.kernel_counts import count_kernels
        from resnas_deploy.exporting.source import read_source
        from resnas_deploy.graph.spelling import FOR_TENSORRT, SPELLINGS

        options = BuildOptions(capabilities=parse_capabilities(capability) if capability else ())
        builder = target_named(target)
        if builder.name == AOTI:
            raise BadInput(f"kernels are counted of TensorRT's targets, found {target}; use --target tensorrt-rtx")
        builder.check(precision, options.capabilities)
        request = Request("counted", Path("counted"), precision, batches, for_engine=True, calibration_images=_IMAGES)
        counts = count_kernels(
            read_source(arch, checkpoint).load(), request, builder, options, SPELLINGS.values(), tell
        )
    if as_json:
        print_json(
            {
                "builder": builder.builder(),
                "precision": precision,
                "batch": str(batches),
                "default": FOR_TENSORRT.name,
                "spellings": [
                    {"spelling": count.spelling.describe(), "layers": count.report, "problem": count.problem or None}
                    for count in counts
                ],
            }
        )
        return
    name = arch or str(checkpoint)
    print_table(
        f"{name} {precision}, batch {batches}, {builder.builder()}",
        ("spelling", "kernels", "a block", "a reduction", "attention fused"),
        [(count.spelling.name, *_row(count.report)) for count in counts],
    )
    for count in counts:
        if count.problem:
            say(f"{count.spelling.name}: {count.problem}")
    best = counts[0].spelling.name
    say(f"fewest: {best}{'' if best == FOR_TENSORRT.name else f' (resnas export --spelling {best})'}")


def _row(report: Mapping[str, Any] | None) -> tuple[str, ...]:
    if report is None:
        return ("not built", "", "", "")
    parts = report["parts"]
    fused = [part["fused_attention"] for part in parts if part["fused_attention"] is not None]
    return (
        str(report["kernels"]),
        _usual(part["kernels"] for part in parts if part["kind"] == "block"),
        _usual(part["kernels"] for part in parts if part["kind"] == "reduction"),
        f"{sum(fused)} of {len(fused)}",
    )


def _usual(values: Iterable[int]) -> str:
    """The commonest value."""
    return str(Counter(values).most_common(1)[0][0])
