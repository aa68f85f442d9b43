"""A subnet block by block, drawn to scale beside the widest: it needs no script."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.arch.mixer import GLOBAL, POOLED, WINDOW, Mixer
from resnas_deploy.arch.spec import Block, Subnet
from resnas_deploy.pages.bars import tip
from resnas_deploy.pages.escaping import text

_COLOURS = {GLOBAL: "c0", WINDOW: "c3", POOLED: "c4"}  # of attention


@dataclass(frozen=True)
class Picture:
    """Attention upwards and MLP downwards in each block; the dashed frame is the widest's, the colour the mixer's."""

    subnet: Subnet
    widest: Subnet

    def html(self) -> str:
        """Return it as HTML."""
        whole = zip(self.subnet.full.stages, self.subnet.kept, self.widest.full.stages, strict=True)
        stages = []
        for number, (stage, kept, full) in enumerate(whole, start=1):
            side = self.subnet.full.side(number - 1)
            blocks = "".join(
                _block(f"stage {number}, block {place}", block if keep else None, wide, side)
                for place, (block, keep, wide) in enumerate(zip(stage.blocks, kept, full.blocks, strict=True), start=1)
            )
            name = f"stage {number}: width {stage.width} of {full.width}, {sum(kept)} of {len(kept)} blocks"
            stages.append(
                f'<div class="stage"><div class="name">{text(name)}</div><div class="blocks" tabindex=0 role=group '
                f'aria-label="{text(name)}">{blocks}</div></div>'
            )
        return f'<div class="network">{"".join(stages)}</div>'


def _block(name: str, block: Block | None, widest: Block, side: int) -> str:
    """Return a block's column; None was dropped."""
    if block is None:
        bars = '<div class="bar attention"></div><div class="bar mlp"></div>'
        return f'<div class="block dropped" tabindex=0 role=img {tip(f"{name}: dropped")}>-{bars}-</div>'
    mixer = block.mixer_at(side)
    lines = (
        name,
        f"heads {block.heads} of {widest.heads}, of {block.head_dim} channels each",
        f"hidden {block.hidden} of {widest.hidden}",
        *([] if mixer == Mixer() else [f"mixer {mixer}"]),
    )
    return (
        f'<div class="block" tabindex=0 role=img {tip(chr(10).join(lines))}>{block.heads}'
        f'<div class="bar attention"><span class={_COLOURS[mixer.kind]} '
        f'style="height:{block.inner / widest.inner:.1%}"></span></div>'
        f'<div class="bar mlp"><span class=c2 style="height:{block.hidden / widest.hidden:.1%}"></span></div>'
        f"{block.hidden}</div>"
    )
