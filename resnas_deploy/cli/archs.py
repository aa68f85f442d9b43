"""`resnas archs`: the published networks."""

from __future__ import annotations

from typing import Annotated

import typer

from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, print_table
from resnas_deploy.weights.arch_files import read_arch


def archs(
    name: Annotated[str, typer.Argument(help="Print this one as JSON, for resnas export --arch FILE.")] = "",
    as_json: Json = False,
) -> None:
    """List the published networks with their cost, or print one to start your own from.

    Examples:
    $ resnas archs
    $ resnas archs small > mine.json && resnas export --arch mine.json
    """
    from resnas_deploy.arch import cost
    from resnas_deploy.arch.published import PUBLISHED

    if name:
        print_json(read_arch(name).to_json())
        return
    if as_json:
        print_json(
            [
                {
                    "name": entry.name,
                    "macs": cost.macs(entry.arch),
                    "parameters": cost.parameters(entry.arch),
                    "paper_top1_percent": entry.top1,
                    "fingerprint": entry.arch.fingerprint,
                    "arch": entry.arch.to_json(),
                }
                for entry in PUBLISHED.values()
            ]
        )
        return
    print_table(
        "Published networks (arXiv 2109.00642), 224 pixels, 1000 classes",
        ("name", "widths", "blocks", "GMACs", "parameters", "fp32 MB", "top-1 (the paper's)"),
        [
            (
                entry.name,
                " ".join(str(stage.width) for stage in entry.arch.stages),
                " ".join(str(len(stage.blocks)) for stage in entry.arch.stages),
                f"{cost.macs(entry.arch) / 1e9:.3f}",
                f"{cost.parameters(entry.arch):,}",
                f"{cost.weight_bytes(entry.arch) / 1e6:.0f}",
                f"{entry.top1:.1f} %",
            )
            for entry in PUBLISHED.values()
        ],
        text_columns=3,
    )
