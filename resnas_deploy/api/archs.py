"""The published networks, and architectures by name or file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch import cost
from resnas_deploy.arch.published import PUBLISHED, Published
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.weights import arch_files


@dataclass(frozen=True)
class Archs(Tabular):
    """The published networks; iterating gives each with its `name`, `arch` and the paper's `top1`, in percent."""

    networks: tuple[Published, ...]

    def __iter__(self) -> Iterator[Published]:
        return iter(self.networks)

    def to_json(self) -> list[dict[str, object]]:
        """Return what `resnas archs --json` prints."""
        return [
            {
                "name": entry.name,
                "macs": cost.macs(entry.arch),
                "parameters": cost.parameters(entry.arch),
                "paper_top1_percent": entry.top1,
                "fingerprint": entry.arch.fingerprint,
                "arch": entry.arch.to_json(),
            }
            for entry in self.networks
        ]

    def table(self) -> Table:
        """Return a row for each network."""
        rows = [
            (
                entry.name,
                " ".join(str(stage.width) for stage in entry.arch.stages),
                " ".join(str(len(stage.blocks)) for stage in entry.arch.stages),
                f"{cost.macs(entry.arch) / 1e9:.3f}",
                f"{cost.parameters(entry.arch):,}",
                f"{cost.weight_bytes(entry.arch) / 1e6:.0f}",
                f"{entry.top1:.1f} %",
            )
            for entry in self.networks
        ]
        return Table(
            "Published networks (arXiv 2109.00642), 224 pixels, 1000 classes",
            ("name", "widths", "blocks", "GMACs", "parameters", "fp32 MB", "top-1 (the paper's)"),
            rows,
            text_columns=3,
        )


def archs() -> Archs:
    """List the published networks with their cost."""
    return Archs(tuple(PUBLISHED.values()))


@checked
def read_arch(source: str | Path | ArchSpec) -> ArchSpec:
    """Return the published network of that name, or the one in a file: JSON, or a `network_def` of the reference.

    Raise `BadInput` for anything else.
    """
    return source if isinstance(source, ArchSpec) else arch_files.read_arch(source)
