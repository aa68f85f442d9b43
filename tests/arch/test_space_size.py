"""Numbers of subnets are those that going through all of them gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from support.every_subnet import every_subnet
from support.small_spaces import MIXERS

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.elements import elements
from resnas_deploy.arch.mixer import Mixer
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.space_ends import ends
from resnas_deploy.arch.space_notes import oddities
from resnas_deploy.arch.space_size import count_architectures, count_subnets, power_of_ten
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.weights.space_files import packaged_spaces


def _choices(most: int, count: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(1, most), min_size=1, max_size=count, unique=True).map(tuple)


@st.composite
def small_spaces(draw: st.DrawFn) -> SearchSpace:
    """Spaces of a few hundred subnets."""
    stages = []
    for number in range(draw(st.integers(2, 3))):
        blocks = draw(st.integers(1, 4 if number == 0 else 1))
        droppable = draw(st.sets(st.integers(1, blocks), max_size=blocks - 1))
        widths = tuple(width + 10 * number for width in draw(_choices(9)))
        several = draw(st.integers(0, 2)) if number == 0 else 0  # of head_dims, of mixers or of neither
        heads, head_dims = draw(_choices(3)), draw(_choices(4, 2 if several == 1 else 1))
        mixers = st.lists(st.sampled_from(MIXERS), min_size=1, max_size=2 if several == 2 else 1, unique=True)
        own = widths, heads, head_dims, draw(_choices(8, 1)), blocks, tuple(droppable), tuple(draw(mixers))
        stages.append(StageSpace(*own))
    mid = draw(st.sampled_from([(0,), (2,), (3, 2)]))
    return SearchSpace("drawn", tuple(stages), classes=3, image_size=16, patch_size=2, stem_mid_widths=mid)


@given(small_spaces())
@settings(max_examples=30)
def test_the_number_of_subnets_and_of_architectures(space: SearchSpace) -> None:
    subnets = every_subnet(space)
    assert all(space.contains(subnet) for subnet in subnets[:50])
    assert len(set(subnets)) == len(subnets) == count_subnets(space)
    archs = {subnet.arch for subnet in subnets}
    assert len(archs) == count_architectures(space)
    for cost in (macs, parameters):
        found = [cost(arch) for arch in archs]
        assert (min(found), max(found)) == (cost(space.narrowest().arch), cost(space.widest().arch))
    for of_all in (macs_of, moved_by_windows):
        found = of_all(list(archs))
        assert (min(found), max(found)) == tuple(of_all(ends(space, of_all)))


def macs_of(archs: Sequence[ArchSpec]) -> list[int]:
    return [macs(arch) for arch in archs]


def moved_by_windows(archs: Sequence[ArchSpec]) -> list[int]:
    """A cost in which a window is dear, whatever it saves in MACs."""
    return [
        macs(arch) + sum(10**9 for element in elements(arch) if getattr(element, "mixer", Mixer()).kind == "window")
        for arch in archs
    ]


def test_the_numbers_of_the_papers_spaces() -> None:
    """Of tiny by hand: 5 widths, 3 fixed blocks, 3 droppable ones each alone between fixed ones; 4 x 7 choices each."""
    tiny, small = packaged_spaces()["tiny"], packaged_spaces()["small"]
    assert count_subnets(tiny) == (5 * 28**3 * (1 + 28) ** 3) ** 3 == 19_182_900_589_423_791_619_538_944_000
    assert count_subnets(small) == (5 * 28**4 * (1 + 28) ** 3) ** 3
    assert count_architectures(tiny) == (5 * (28**3 + 28**4 + 28**5 + 28**6)) ** 3
    assert power_of_ten(count_subnets(tiny)) == "10^28.3"


def test_what_is_odd_is_noted() -> None:
    space = packaged_spaces()["demo"]
    assert oddities(space) == []
    assert oddities(packaged_spaces()["small"]) == [
        "stages[0].widths 220: no multiple of 8, which GPUs like in half precision"
    ]
    first = replace(
        space.stages[0], mixers=("global", "window9", "window3", "pooled1", "pooled2", "pooled3", "pooled9")
    )
    assert oddities(replace(space, stages=(first, *space.stages[1:]))) == [
        "stages[0].mixers window9, pooled1: on its grid of 8 x 8 no other than global",
        "stages[0].mixers pooled9: on its grid of 8 x 8 no other than pooled8",
        "stages[0].mixers window3, pooled3: no divisor of its grid of 8 x 8, whose last windows or cells are cut",
    ]
    one = StageSpace((8,), (1,), (4,), (8,), 1)
    only = replace(space, stages=(one, one), image_size=8, stem_mid_widths=(0,))
    assert oddities(only) == [
        "it has one subnet: there is nothing to search",
        "stages[0].head_dims 4: no multiple of 8, which GPUs like in half precision",
        "stages[1].head_dims 4: no multiple of 8, which GPUs like in half precision",
        "the last stage has a single patch token: CutMix, which mixes images by that grid, mixes nothing",
    ]
