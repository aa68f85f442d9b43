"""A shaped space as a file: the space as any is written, with what became of each choice in comments."""

from __future__ import annotations

from collections.abc import Iterator

from resnas_deploy.shaping.result import ShapedDimension, Shaping
from resnas_deploy.weights.space_text import space_text

_STAGE = "[[stages]]"


def shaped_text(found: Shaping) -> str:
    """Return the file. Above each list stand its values with what was measured of them."""
    by_place = {(each.stage, each.name): each for each in found.dimensions}
    lines = [f"# {found.before.name} shaped for {found.how}: {found.counts()}."]
    if found.widest:
        ratio = found.widest
        lines.append(
            f"# The widest subnet costs {ratio.value:.3f} of that of before ({ratio.low:.3f} to {ratio.high:.3f})."
        )
    lines += [f"# {note}" for note in found.notes]
    stage = 0
    for line in space_text(found.space).splitlines():
        stage += line == _STAGE
        if dimension := by_place.get((stage or None, line.partition(" = ")[0])):
            lines += _comments(dimension)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _comments(dimension: ShapedDimension) -> Iterator[str]:
    if not dimension.decided:
        yield "#   not measured"
    if not dimension.measured:
        return
    for each, why in dimension.lines():
        yield f"#   {each.value} {each.outcome}{': ' if why else ''}{why}"
