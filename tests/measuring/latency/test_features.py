"""The terms of the latency regression: worked out by hand, and growing with the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import small_spaces
from support.networks import SMALL
from support.small_spaces import FOUR_STAGES, SPACES, TWO_STAGES

from resnas_deploy.arch.spec import ArchSpec, Stage
from resnas_deploy.measuring.latency.features import Terms

spaces = st.one_of(st.sampled_from(SPACES), small_spaces.spaces())
seeds = st.integers(0, 2**32 - 1)


def test_the_terms_of_a_small_network_by_hand():
    inner, hidden = ((2 * 4, 3 * 4), (1 * 5,), (2 * 3, 4 * 3)), ((10, 7), (12,), (13, 5))
    expected = {
        "constant": 1,
        "stage1 blocks": 2,
        "stage1 linears": 6 * (4 * sum(inner[0]) + 2 * sum(hidden[0])),
        "stage1 attention": 8 + 12,
        "stage2 blocks": 1,
        "stage2 linears": 9 * (4 * 5 + 2 * 12),
        "stage2 attention": 5,
        "stage3 blocks": 1,
        "stage3 linears": 11 * (4 * 6 + 2 * 13),
        "stage3 attention": 6,
        "last block's linears": 11 * (4 * 12 + 2 * 5),
        "stem": 6,
        "reduction1": 6 * 9,
        "reduction2": 9 * 11,
    }
    (found,) = Terms(3).of([SMALL])
    assert tuple(expected) == Terms(3).names
    assert dict(zip(Terms(3).names, found.tolist(), strict=True)) == expected


def with_mixers(arch: ArchSpec, *stages: tuple[str, ...]) -> ArchSpec:
    """The network with those mixers, a name for each block."""
    return replace(
        arch,
        stages=tuple(
            replace(stage, blocks=tuple(replace(b, mixer=name) for b, name in zip(stage.blocks, names, strict=True)))
            for stage, names in zip(arch.stages, stages, strict=True)
        ),
    )


def test_the_terms_of_mixers_by_hand():
    """On 8 x 8, 4 x 4 and 2 x 2 tokens: windows of 4 x 4 and cells of 2 x 2."""
    arch = with_mixers(SMALL, ("window4", "pooled2"), ("pooled2",), ("global", "pooled2"))
    terms = Terms(3, mixed=((1, "pooled"), (1, "window"), (3, "pooled")))
    before, found = (dict(zip(terms.names, terms.of([each])[0].tolist(), strict=True)) for each in (SMALL, arch))
    window = (64 * 17 + 65) / 65**2  # pairs: each patch token with 16 and the class token, the class token with all
    changed = {
        "stage1 attention": 8 * window + 12 * 17 / 65,
        "stage1 linears": 6 * (4 * 8 + 2 * 12 + 2 * 12 * 17 / 65 + 2 * (10 + 7)),
        "stage1 window blocks": 1,
        "stage1 window channels": 8,
        "stage1 pooled blocks": 1,
        "stage1 pooled channels": 12,
        "stage2 attention": 5 * 5 / 17,
        "stage2 linears": 9 * (2 * 5 + 2 * 5 * 5 / 17 + 2 * 12),
        "last block's linears": 11 * (2 * 12 + 2 * 12 * 2 / 5 + 2 * 5),
    }
    assert {name for name in found if found[name] != before[name]} == set(changed)
    assert {name: found[name] for name in changed} == pytest.approx(changed)


def test_which_mixers_a_space_chooses_among():
    assert Terms.of_space(TWO_STAGES).mixed == ((1, "pooled"), (1, "window"))
    assert Terms.of_space(FOUR_STAGES).mixed == ((1, "pooled"), (1, "window"), (2, "window"))
    one, *others = TWO_STAGES.stages
    # One, three that are one on 4 x 4 tokens, and windows of two sizes, which every block has one of.
    for mixers in (("window2",), ("global", "window4", "pooled1"), ("window1", "window2")):
        assert Terms.of_space(replace(TWO_STAGES, stages=(replace(one, mixers=mixers), *others))).mixed == ()


@given(spaces)
def test_enough_networks_have_the_terms_of_their_space(space):
    rng = np.random.default_rng(0)
    archs = [space.sample(rng).arch for _ in range(100)]
    assert Terms.among(archs) == Terms.of_space(space)


def test_a_row_for_each_network_and_none_for_none():
    assert Terms(3).of([SMALL, SMALL, SMALL]).shape == (3, len(Terms(3).names))
    assert len(Terms(3).of([])) == 0
    assert Terms(3).of(iter([SMALL])).tolist() == Terms(3).of([SMALL]).tolist()


def grown(arch, stage, block, by):
    """The network with one dimension larger, and the terms that this must raise."""
    old = arch.stages[stage]
    last = stage == len(arch.stages) - 1 and block == len(old.blocks) - 1
    linears = "last block's linears" if last else f"stage{stage + 1} linears"
    attention = () if last else (f"stage{stage + 1} attention",)
    one = old.blocks[block]
    larger = {
        "width": (replace(old, width=old.width + 1), {linears} | {f"reduction{n}" for n in (stage, stage + 1)}),
        "heads": (changed(old, block, replace(one, heads=one.heads + 1)), {linears, *attention}),
        "hidden": (changed(old, block, replace(one, hidden=one.hidden + 1)), {linears}),
        "block": (changed(old, block, one, one), {f"stage{stage + 1} {t}" for t in ("blocks", "linears", "attention")}),
    }
    new, raised = larger[by]
    stages = [new if number == stage else other for number, other in enumerate(arch.stages)]
    if by == "width":  # a later stage is never narrower
        stages = [replace(s, width=max(s.width, new.width)) if n > stage else s for n, s in enumerate(stages)]
        raised |= {"stem"} if stage == 0 else set()
    return replace(arch, stages=tuple(stages)), raised & set(Terms(len(stages)).names)


def changed(stage: Stage, block, *instead):
    return replace(stage, blocks=(*stage.blocks[:block], *instead, *stage.blocks[block + 1 :]))


@given(spaces, seeds, st.data())
def test_every_term_grows_or_stays_when_the_network_grows(space, seed, data):
    arch, terms = space.sample(np.random.default_rng(seed)).arch, Terms.of_space(space)
    stage = data.draw(st.integers(0, len(arch.stages) - 1))
    block = data.draw(st.integers(0, len(arch.stages[stage].blocks) - 1))
    by = data.draw(st.sampled_from(("width", "heads", "hidden", "block")))
    larger, raised = grown(arch, stage, block, by)
    before, after = terms.of([arch, larger])
    assert (before >= 0).all()
    assert (after >= before * (1 - 1e-12)).all()  # sums of shares, in another order
    assert raised <= {name for name, old, new in zip(terms.names, before, after, strict=True) if new > old}
