"""Which widths an aligned network has, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import SMALL, arch_specs

from resnas_deploy.arch.alignment import ALIGNMENTS, aligned_arch, aligned_block, check_alignment, macs_added, round_up
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import MAX_DIMENSION, ArchSpec, Block, Stage

MULTIPLES = ALIGNMENTS[1:]


def widths(arch):
    blocks = [block for stage in arch.stages for block in stage.blocks]
    return [
        arch.stem_mid_width,
        *(stage.width for stage in arch.stages),
        *(block.inner for block in blocks),
        *(block.hidden for block in blocks),
    ]


@given(arch_specs(), st.sampled_from(ALIGNMENTS))
def test_every_width_is_the_next_multiple(arch, multiple):
    wider = aligned_arch(arch, multiple)
    assert [size % multiple for size in widths(wider)] == [0] * len(widths(arch))
    for true, padded in zip(arch.stages, wider.stages, strict=True):
        assert 0 <= padded.width - true.width < multiple
        for before, after in zip(true.blocks, padded.blocks, strict=True):
            assert 0 <= after.hidden - before.hidden < multiple
    assert replace(wider, stages=arch.stages, stem_mid_width=arch.stem_mid_width) == arch
    assert aligned_arch(wider, multiple) == wider


@given(st.builds(Block, st.integers(1, 20), st.integers(1, 80), st.integers(1, 9)), st.sampled_from(MULTIPLES))
def test_attention_is_widened_as_little_as_can_be(block, multiple):
    found = aligned_block(block, multiple)
    assert found.heads >= block.heads
    assert found.head_dim >= block.head_dim
    assert (found.inner % multiple, found.head_dim % 8) == (0, 0)
    others = (
        (heads * head_dim, heads)
        for head_dim in range(round_up(block.head_dim, 8), block.head_dim + 2 * multiple, 8)
        for heads in range(block.heads, block.heads + multiple + 1)
        if heads * head_dim % multiple == 0
    )
    assert (found.inner, found.heads) == min(others)


@pytest.mark.parametrize(
    ("heads", "head_dim", "multiple", "wanted"),
    [
        (5, 48, 8, (5, 48)),
        (5, 48, 32, (6, 48)),  # 288, where 64 a head would make 320
        (5, 48, 64, (5, 64)),
        (10, 48, 32, (10, 48)),
        (5, 32, 64, (6, 32)),
        (3, 5, 8, (3, 8)),
        (1, 1, 64, (1, 64)),  # of 8 heads of 8 and one of 64 the one
    ],
)
def test_heads(heads, head_dim, multiple, wanted):
    assert aligned_block(Block(heads, head_dim, 64), multiple) == Block(*wanted, 64)


def test_one_pads_nothing():
    assert aligned_arch(SMALL, 1) is SMALL
    assert macs_added(SMALL, 1) == 0


@pytest.mark.parametrize("multiple", MULTIPLES)
def test_the_largest_network_can_be_aligned(multiple):
    """No rounding leaves what a spec may hold."""
    most = MAX_DIMENSION
    stages = tuple(Stage(most - 2 + number, (Block(most, most - 1, most - 1),)) for number in range(3))
    wider = aligned_arch(ArchSpec(stages, stem_mid_width=most - 1), multiple)
    assert {stage.width for stage in wider.stages} == {most}


def test_a_plain_stem_stays_plain():
    assert aligned_arch(replace(SMALL, stem_mid_width=0), 8).stem_mid_width == 0


def test_macs_added_are_those_of_the_wider_network():
    arch = PUBLISHED["small"].arch
    assert macs_added(arch, 32) == macs(aligned_arch(arch, 32)) / macs(arch) - 1
    added = [macs_added(arch, multiple) for multiple in MULTIPLES]
    assert added == sorted(added)
    assert added[0] > 0


@pytest.mark.parametrize("value", [0, -8, 2, 7, 24, 128, True, 8.0, "8", None, [8], 10**100])
def test_other_alignments_are_refused(value):
    message = refusal(lambda: check_alignment(value))
    assert message.startswith("an alignment must be one of 1, 8, 16, 32, 64 (1: nothing is padded), found ")
    assert len(message) < 150
