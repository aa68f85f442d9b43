"""The three networks of the paper (arXiv 2109.00642, table 3) as literals, and what the paper says of them."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.arch.spec import ArchSpec, Block, Stage

HEAD_DIMS = (32, 48, 64)  # channels of one head, by stage, in every published network and search space


@dataclass(frozen=True)
class Published:
    """A published network. `top1` is the paper's ImageNet accuracy in percent, at 224 pixels; we did not measure it."""

    name: str
    arch: ArchSpec
    top1: float


def _arch(widths: tuple[int, ...], heads: tuple[str, ...], hidden: tuple[str, ...]) -> ArchSpec:
    return ArchSpec(
        tuple(
            Stage(width, tuple(Block(int(h), head_dim, int(m)) for h, m in zip(hs.split(), ms.split(), strict=True)))
            for width, head_dim, hs, ms in zip(widths, HEAD_DIMS, heads, hidden, strict=True)
        )
    )


PUBLISHED = {
    entry.name: entry
    for entry in (
        Published(
            "tiny",
            _arch(
                widths=(176, 352, 704),
                heads=("3 3 3 4 4", "10 8 8 8 10 10", "10 10 10 8 8"),
                hidden=("704 576 640 576 704", "1408 1408 1280 1408 1280 1024", "2560 1792 2816 2816 2560"),
            ),
            top1=80.8,
        ),
        Published(
            "small",
            _arch(
                widths=(220, 440, 880),
                heads=("5 5 7 5 5 5", "10 10 10 10 12 12", "16 12 16 12 14"),
                hidden=("880 880 800 720 720 720", "1760 1440 1920 1600 1600 1440", "3200 3200 2880 2240 2560"),
            ),
            top1=81.7,
        ),
        Published(
            "medium",
            _arch(
                widths=(240, 640, 880),
                heads=("7 6 7 8 7 8 6", "10 14 14 16 14 16 16", "16 10 16 12 16 14"),
                hidden=(
                    "960 960 800 960 880 880 800",
                    "1120 1760 1920 1760 1440 1760 1920",
                    "3200 3840 3840 3200 3520 3520",
                ),
            ),
            top1=82.4,
        ),
    )
}
