"""The parts of a network, in the order of computation."""

from __future__ import annotations

from dataclasses import replace

from support.networks import SMALL

from resnas_deploy.arch.elements import BlockElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import Block, Stage


def test_elements_are_in_the_order_of_computation() -> None:
    walk = list(elements(SMALL))
    assert [element.name for element in walk] == [
        "stem",
        "stage1.block1",
        "stage1.block2",
        "reduction1",
        "stage2.block1",
        "reduction2",
        "stage3.block1",
        "stage3.block2",
        "head",
    ]
    assert [e.side for e in walk if isinstance(e, StemElement | BlockElement)] == [8, 8, 8, 4, 2, 2]
    reductions = [e for e in walk if isinstance(e, ReductionElement)]
    assert [(e.width, e.out_width, e.side) for e in reductions] == [(6, 9, 8), (9, 11, 4)]
    assert [e.name for e in walk if isinstance(e, BlockElement) and e.last] == ["stage3.block2"]


def test_stages_that_are_one_object_are_three_stages() -> None:
    stage = Stage(4, (Block(1, 2, 3),))
    walk = list(elements(replace(SMALL, stages=(stage,) * 3)))
    assert [e.name for e in walk if isinstance(e, ReductionElement)] == ["reduction1", "reduction2"]
    assert [e.name for e in walk if isinstance(e, BlockElement) and e.last] == ["stage3.block1"]
