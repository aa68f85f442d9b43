"""The terms of the latency regression: worked out by hand, and growing with the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.networks import SMALL

from resnas_deploy.arch.spec import Stage
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.weights.space_files import packaged_spaces

spaces = st.sampled_from(list(packaged_spaces().values()))
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


def test_a_row_for_each_network_and_none_for_none():
    assert Terms(3).of([SMALL, SMALL, SMALL]).shape == (3, len(Terms(3).names))
    assert len(Terms(3).of([])) == 0
    assert Terms(3).of(iter([SMALL])).tolist() == Terms(3).of([SMALL]).tolist()


def grown(arch, stage, block, by):
    """The network with one dimension larger, and the terms that this must raise."""
    old = arch.stages[stage]
    last = stage == 2 and block == len(old.blocks) - 1
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
    return replace(arch, stages=tuple(stages)), raised & set(Terms(3).names)


def changed(stage: Stage, block, *instead):
    return replace(stage, blocks=(*stage.blocks[:block], *instead, *stage.blocks[block + 1 :]))


@given(spaces, seeds, st.integers(0, 2), st.data())
def test_every_term_grows_or_stays_when_the_network_grows(space, seed, stage, data):
    arch = space.sample(np.random.default_rng(seed)).arch
    block = data.draw(st.integers(0, len(arch.stages[stage].blocks) - 1))
    by = data.draw(st.sampled_from(("width", "heads", "hidden", "block")))
    larger, raised = grown(arch, stage, block, by)
    before, after = Terms(3).of([arch, larger])
    assert (before >= 0).all()
    assert (after >= before).all()
    assert raised <= {name for name, old, new in zip(Terms(3).names, before, after, strict=True) if new > old}
