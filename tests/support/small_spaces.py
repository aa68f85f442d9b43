"""Random search spaces of networks that run in a millisecond: any stages, heads of several sizes, stems of any kind."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from hypothesis import strategies as st

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.weights.space_files import packaged_spaces

# Every dimension is chosen; two stages and four.
TWO_STAGES = SearchSpace(
    "two-stages",
    (
        StageSpace((12, 8), (3, 2, 1), (6, 4), (20, 12), 3, (1, 3), ("global", "window2", "pooled2")),
        StageSpace((20, 16), (2, 1), (8, 5, 4), (32, 24), 2, (2,)),
    ),
    classes=3,
    image_size=16,
    patch_size=4,
    stem_mid_widths=(6, 4),
)
FOUR_STAGES = SearchSpace(
    "four-stages",
    (
        StageSpace((8, 6), (2, 1), (4, 2), (12, 8), 2, (1,), ("pooled3", "window3")),
        StageSpace((10, 8), (2, 1), (4,), (16, 12), 1, mixers=("window3", "global")),
        StageSpace((16, 12), (2, 1), (4, 3), (24, 16), 3, (2, 3)),
        StageSpace((20, 16), (3, 1), (6, 4), (32, 24), 2, (2,)),
    ),
    classes=3,
    image_size=16,
    patch_size=2,
    stem_mid_widths=(5, 4, 2),
)

_STAGE = StageSpace((8, 6, 4), (3, 2, 1), (4,), (16, 12, 8), 4, (2, 3))
# Droppable blocks side by side.
ADJACENT = SearchSpace("adjacent", (_STAGE, replace(_STAGE, widths=(16, 12, 8)), replace(_STAGE, widths=(16,))))
SPACES = (*packaged_spaces().values(), ADJACENT, TWO_STAGES, FOUR_STAGES)


# Of an odd grid each: 7 x 7, 4 x 4, and 5 x 5, 3 x 3, 2 x 2, 1 x 1.
ODD_TWO_STAGES = replace(TWO_STAGES, name="odd-two-stages", image_size=28)
ODD_FOUR_STAGES = replace(FOUR_STAGES, name="odd-four-stages", image_size=10)
ANY_STAGES = (TWO_STAGES, FOUR_STAGES, ODD_TWO_STAGES, ODD_FOUR_STAGES)


def _choices(least: int, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(least, most), min_size=1, max_size=3, unique=True).map(tuple)


# On grids of 1 to 16 tokens a side: windows and cells that divide it, that do not, and that cover it.
MIXERS = ("global", "window1", "window2", "window3", "window16", "pooled1", "pooled2", "pooled3", "pooled5")
_mixers = st.one_of(
    st.just(("global",)), st.lists(st.sampled_from(MIXERS), min_size=1, max_size=3, unique=True).map(tuple)
)


@st.composite
def stage_spaces(draw: st.DrawFn, least_width: int) -> StageSpace:
    """Stages of one to three positions, with any of them droppable but one."""
    blocks = draw(st.integers(1, 3))
    fixed = draw(st.integers(1, blocks))
    droppable = draw(st.sets(st.integers(1, blocks)).map(lambda found: found - {fixed}))
    widths = draw(_choices(least_width, least_width + 4))
    sizes = draw(_choices(1, 3)), draw(_choices(1, 6)), draw(_choices(1, 12))
    return StageSpace(widths, *sizes, blocks, tuple(sorted(droppable)), draw(_mixers))


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces of two to four stages and at most 20 channels, with a stem of any kind."""
    mids = draw(st.one_of(st.just((0,)), _choices(1, 5)))
    patch = draw(st.integers(1, 8) if mids == (0,) else st.sampled_from((2, 4, 6, 8)))
    stages, widest = list[StageSpace](), 1
    for _ in range(draw(st.integers(2, 4))):
        stages.append(draw(stage_spaces(widest)))
        widest = max(stages[-1].widths)
    return SearchSpace(
        "random",
        tuple(stages),
        classes=draw(st.integers(1, 4)),
        image_size=patch * draw(st.integers(1, 12)),  # odd grids among them
        patch_size=patch,
        stem_mid_widths=mids,
    )


def toml_of(space: SearchSpace) -> str:
    """The file of a space."""
    own = {name: value for name, value in asdict(space).items() if name != "stages"}
    parts = [own, *(asdict(stage) for stage in space.stages)]
    text = ["".join(f"{key} = {_value(value)}\n" for key, value in part.items()) for part in parts]
    return "\n[[stages]]\n".join(text)


def _value(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)
