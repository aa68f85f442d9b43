"""Search spaces: every random subnet is inside, dimensions are drawn as the paper says, foreign ones are refused."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import small_spaces
from support.places import GOLDEN
from support.small_spaces import ADJACENT, SPACES

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.space_size import count_subnets
from resnas_deploy.arch.spec import ArchSpec, Block, Subnet
from resnas_deploy.weights.space_files import packaged_spaces
from resnas_deploy.weights.vit_search.network_def import parse_network_def

spaces = st.one_of(st.sampled_from(SPACES), small_spaces.spaces())
seeds = st.integers(0, 2**32 - 1)
MANY = 10**12  # subnets, of which two draws are never the same


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _genes(subnet: Subnet) -> list[object]:
    """Every dimension that is chosen, in a fixed order."""
    genes: list[object] = [subnet.full.stem_mid_width]
    for stage, kept in zip(subnet.full.stages, subnet.kept, strict=True):
        genes += [stage.width]
        for block, keep in zip(stage.blocks, kept, strict=True):
            genes += [block.heads, block.head_dim, block.hidden, block.mixer, keep]
    return genes


def _first_stage(arch: ArchSpec, **changes: object) -> ArchSpec:
    first, *others = arch.stages
    return replace(arch, stages=(replace(first, **changes), *others))


def test_the_spaces_are_the_papers() -> None:
    tiny, small = packaged_spaces()["tiny"], packaged_spaces()["small"]
    assert [stage.widths for stage in tiny.stages] == [
        (256, 224, 192, 176, 160),
        (512, 448, 384, 352, 320),
        (1024, 896, 768, 704, 640),
    ]
    assert [stage.widths for stage in small.stages] == [
        (320, 280, 240, 220, 200),
        (640, 560, 480, 440, 400),
        (1280, 1120, 960, 880, 800),
    ]
    assert [stage.hidden for stage in tiny.stages] == [
        (768, 704, 640, 576, 512, 448, 384),
        (1536, 1408, 1280, 1152, 1024, 896, 768),
        (3072, 2816, 2560, 2304, 2048, 1792, 1536),
    ]
    assert [stage.hidden for stage in small.stages] == [
        (960, 880, 800, 720, 640, 560, 480),
        (1920, 1760, 1600, 1440, 1280, 1120, 960),
        (3840, 3520, 3200, 2880, 2560, 2240, 1920),
    ]
    assert [stage.heads for stage in tiny.stages] == [(6, 5, 4, 3), (12, 10, 8, 6), (12, 10, 8, 6)]
    assert [stage.heads for stage in small.stages] == [(8, 7, 6, 5), (16, 14, 12, 10), (16, 14, 12, 10)]
    for space, blocks in ((tiny, 6), (small, 7)):
        assert [(stage.head_dims, stage.blocks, stage.droppable) for stage in space.stages] == [
            ((32,), blocks, (2, 4, 6)),
            ((48,), blocks, (2, 4, 6)),
            ((64,), blocks, (2, 4, 6)),
        ]


def test_every_golden_row_is_in_its_space_and_in_no_other() -> None:
    with (GOLDEN / "macs.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            subnet = parse_network_def(row["network_def"])
            assert [name for name, space in packaged_spaces().items() if space.contains(subnet)] == [row["space"]]


@pytest.mark.parametrize(("name", "space"), [("tiny", "tiny"), ("small", "small"), ("medium", "small")])
def test_every_block_of_the_published_networks_is_a_choice_of_the_space(name: str, space: str) -> None:
    for stage, choices in zip(PUBLISHED[name].arch.stages, packaged_spaces()[space].stages, strict=True):
        assert stage.width in choices.widths
        assert choices.blocks - len(choices.droppable) <= len(stage.blocks) <= choices.blocks
        for block in stage.blocks:
            assert (block.heads in choices.heads, block.hidden in choices.hidden) == (True, True)
            assert block.head_dim in choices.head_dims


@given(spaces, seeds, st.floats(0, 1))
def test_whatever_is_drawn_is_inside_and_between_the_extremes(
    space: SearchSpace, seed: int, probability: float
) -> None:
    rng = _rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    drawn = [first, second, space.mutate(first, probability, rng), space.crossover(first, second, rng)]
    least, most = macs(space.narrowest().arch), macs(space.widest().arch)
    for subnet in drawn:
        assert space.contains(subnet)
        assert least <= macs(subnet.arch) <= most


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_the_extremes(space: SearchSpace) -> None:
    widest, narrowest = space.widest(), space.narrowest()
    assert space.contains(widest)
    assert space.contains(narrowest)
    assert widest.arch == widest.full
    for stage, wide, narrow in zip(space.stages, widest.full.stages, narrowest.arch.stages, strict=True):
        assert (wide.width, narrow.width) == (max(stage.widths), min(stage.widths))
        most, least = (
            Block(choose(stage.heads), choose(stage.head_dims), choose(stage.hidden), mixer)
            for choose, mixer in ((max, wide.blocks[0].mixer), (min, narrow.blocks[0].mixer))
        )
        assert wide.blocks == (most,) * stage.blocks
        assert narrow.blocks == (least,) * (stage.blocks - len(stage.droppable))


@given(spaces, seeds, st.floats(0, 1))
@settings(max_examples=30)
def test_the_same_seed_gives_the_same_subnets(space: SearchSpace, seed: int, probability: float) -> None:
    def draw() -> list[Subnet]:
        rng = _rng(seed)
        first, second = space.sample(rng), space.sample(rng)
        return [first, second, space.mutate(first, probability, rng), space.crossover(first, second, rng)]

    assert draw() == draw()


def test_other_seeds_give_other_subnets() -> None:
    assert len({packaged_spaces()["tiny"].sample(_rng(seed)) for seed in range(100)}) == 100


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_samples_take_every_choice_evenly_and_drop_half(space: SearchSpace) -> None:
    rng, count = _rng(0), 400
    samples = [space.sample(rng) for _ in range(count)]
    for index, stage in enumerate(space.stages):
        stages, kept = [s.full.stages[index] for s in samples], [s.kept[index] for s in samples]
        blocks = [block for found in stages for block in found.blocks]
        for choices, found in (
            (stage.widths, Counter(s.width for s in stages)),
            (stage.heads, Counter(block.heads for block in blocks)),
            (stage.head_dims, Counter(block.head_dim for block in blocks)),
            (stage.mixers, Counter(block.mixer for block in blocks)),
            (stage.hidden, Counter(block.hidden for block in blocks)),
        ):
            expected = sum(found.values()) / len(choices)
            assert set(found) == set(choices)
            assert max(abs(n - expected) for n in found.values()) < 5 * expected**0.5, found
        expected = 0.0
        for position in range(1, stage.blocks + 1):
            dropped = sum(not flags[position - 1] for flags in kept)
            expected = (
                expected + (1 - expected) / 2 if position in stage.droppable else 0
            )  # a drop drops those after it
            assert abs(dropped / count - expected) < 0.1, f"block {position} dropped {dropped} of {count} times"


def test_a_drop_drops_the_droppable_blocks_right_after() -> None:
    rng, count = _rng(1), 600
    seen = Counter(ADJACENT.sample(rng).kept[0] for _ in range(count))
    share = {flags[1:3]: n / count for flags, n in seen.items()}
    assert all(flags[0] and flags[3] for flags in seen)
    assert set(share) == {(True, True), (True, False), (False, False)}  # never the third kept after a dropped second
    for flags, expected in (((True, True), 0.25), ((True, False), 0.25), ((False, False), 0.5)):
        assert abs(share[flags] - expected) < 0.08, f"{flags}: {share[flags]}, expected about {expected}"


def test_a_fixed_block_ends_a_run_of_drops() -> None:
    seen = {packaged_spaces()["tiny"].sample(_rng(seed)).kept[0] for seed in range(200)}
    assert {flags[1::2] for flags in seen} == {(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)}


@given(spaces, seeds)
@settings(max_examples=30)
def test_mutation_with_probability_0_is_the_identity(space: SearchSpace, seed: int) -> None:
    rng = _rng(seed)
    subnet = space.sample(rng)
    assert space.mutate(subnet, 0.0, rng) == subnet


@given(spaces, seeds)
@settings(max_examples=30)
def test_mutation_with_probability_1_redraws_every_dimension_and_flips_every_flag(
    space: SearchSpace, seed: int
) -> None:
    widest, narrowest = space.widest(), space.narrowest()
    shorter, longer = (space.mutate(parent, 1.0, _rng(seed)) for parent in (widest, narrowest))
    assert shorter.full == longer.full  # no dimension of the parent is left
    assert (shorter.kept, longer.kept) == (narrowest.kept, widest.kept)
    if count_subnets(space) > MANY:
        assert space.mutate(widest, 1.0, _rng(seed + 1)).full != shorter.full


def test_mutation_flips_flags_with_the_probability() -> None:
    space, rng, count = packaged_spaces()["tiny"], _rng(6), 300
    for parent, flipped in ((space.widest(), False), (space.narrowest(), True)):
        children = [space.mutate(parent, 0.3, rng) for _ in range(count)]
        for position in (2, 4, 6):
            share = sum(child.kept[1][position - 1] == flipped for child in children) / count
            assert abs(share - 0.3) < 4 * (0.3 * 0.7 / count) ** 0.5, f"{share:.3f} of block {position}"


@pytest.mark.parametrize("probability", [0.1, 0.3, 1.0])
def test_mutation_redraws_each_dimension_with_the_probability(probability: float) -> None:
    space, rng, changed, total = packaged_spaces()["small"], _rng(2), 0, 0
    for _ in range(100):
        parent = space.sample(rng)
        child = space.mutate(parent, probability, rng)
        for a, b in zip(parent.full.stages, child.full.stages, strict=True):
            pairs = list(zip(a.blocks, b.blocks, strict=True))
            changed += sum(x.hidden != y.hidden for x, y in pairs)
            total += len(pairs)
    expected = probability * 6 / 7  # one of the seven choices is what it was
    assert abs(changed / total - expected) < 0.03, f"{changed / total:.3f} changed, expected about {expected:.3f}"


@given(spaces, seeds)
def test_a_child_takes_every_dimension_from_a_parent(space: SearchSpace, seed: int) -> None:
    rng = _rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    child = space.crossover(first, second, rng)
    for found, *parents in zip(_genes(child), _genes(first), _genes(second), strict=True):
        assert found in parents
    assert space.crossover(first, first, rng) == first


def test_both_parents_give_about_half() -> None:
    space, rng = packaged_spaces()["small"], _rng(3)
    first, second = space.widest(), space.narrowest()
    genes = [_genes(space.crossover(first, second, rng)) for _ in range(50)]
    differing = [i for i, (a, b) in enumerate(zip(_genes(first), _genes(second), strict=True)) if a != b]
    share = np.mean([[found[i] == _genes(first)[i] for i in differing] for found in genes])
    assert abs(share - 0.5) < 0.03, f"{share:.3f} of the dimensions are the first parent's"


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_what_a_space_cannot_produce_is_not_in_it(space: SearchSpace) -> None:
    whole = space.widest()
    first = whole.full.stages[0]
    block, others = first.blocks[0], first.blocks[1:]
    fixed = next(place for place in range(space.stages[0].blocks) if place + 1 not in space.stages[0].droppable)
    larger = {
        "image_size": {"image_size": whole.full.image_size * 2},
        "classes": {"classes": whole.full.classes + 1},
        "patch_size": {"image_size": whole.full.image_size * 2, "patch_size": whole.full.patch_size * 2},
        "stem_mid_width": {"stem_mid_width": 0},
    }
    foreign = {
        "width": Subnet(_first_stage(whole.full, width=first.width - 1), whole.kept),
        "heads": Subnet(_first_stage(whole.full, blocks=(replace(block, heads=block.heads + 1), *others)), whole.kept),
        "head_dim": Subnet(
            _first_stage(whole.full, blocks=(replace(block, head_dim=block.head_dim + 1), *others)), whole.kept
        ),
        "hidden": Subnet(
            _first_stage(whole.full, blocks=(replace(block, hidden=block.hidden + 1), *others)), whole.kept
        ),
        "mixer": Subnet(_first_stage(whole.full, blocks=(replace(block, mixer="window99"), *others)), whole.kept),
        "a block less": Subnet.whole(_first_stage(whole.full, blocks=others)),
        "a block more": Subnet.whole(_first_stage(whole.full, blocks=(*first.blocks, block))),
        "a fixed block dropped": Subnet(
            whole.full, (tuple(place != fixed for place in range(len(first.blocks))), *whole.kept[1:])
        ),
    } | {name: Subnet(replace(whole.full, **changes), whole.kept) for name, changes in larger.items()}
    assert [name for name, subnet in foreign.items() if space.contains(subnet)] == []


def test_a_droppable_block_kept_after_a_dropped_neighbour_is_not_in_the_space() -> None:
    whole = ADJACENT.widest()
    for flags, inside in (((True, False, True, True), False), ((True, False, False, True), True)):
        assert ADJACENT.contains(Subnet(whole.full, (flags, *whole.kept[1:]))) is inside


def test_a_dropped_block_has_dimensions_of_the_space_too() -> None:
    space = packaged_spaces()["tiny"]
    narrow = space.narrowest()
    first = narrow.full.stages[0]
    blocks = (first.blocks[0], replace(first.blocks[1], hidden=1), *first.blocks[2:])
    assert not narrow.kept[0][1]
    assert not space.contains(Subnet(_first_stage(narrow.full, blocks=blocks), narrow.kept))
