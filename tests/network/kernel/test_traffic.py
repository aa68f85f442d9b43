"""The bytes of docs/kernel.md, counted from shapes."""

from __future__ import annotations

import pytest
from support.places import ROOT

from resnas_deploy.arch.elements import ReductionElement, elements
from resnas_deploy.arch.published import PUBLISHED

PAGE = (ROOT / "docs" / "kernel.md").read_text()
BYTES = 2  # of fp16


def fused(n, c, out, batch):
    """Each input once, each output once; the table is read for every image, and counted once."""
    tokens = 1 + n // 4
    read = batch * ((1 + n) * c + tokens * out) + tokens * out
    return read + batch * 2 * tokens * out


def unfused(n, c, out, batch):
    """The operators of `ResidualReduction.forward` after its convolution and linear, and the next norm, one by one."""
    quarter, tokens = n // 4, 1 + n // 4
    operators = (
        (quarter * out, quarter * out),  # patches + position
        (tokens * out, tokens * out),  # class token and patches put together
        (n * c, quarter * c),  # pooling
        (tokens * c, tokens * c),  # class token and pooled put together
        (tokens * c, tokens * out),  # zero-padding
        (2 * tokens * out, tokens * out),  # the sum
        (tokens * out, tokens * out),  # the norm
    )
    return batch * sum(read + written for read, written in operators) + quarter * out  # positions


@pytest.mark.parametrize("batch", [1, 64])
def test_the_page_has_the_counted_bytes(batch):
    for element in elements(PUBLISHED["small"].arch):
        if isinstance(element, ReductionElement):
            sizes = (element.side**2, element.width, element.out_width, batch)
            cells = [BYTES * count(*sizes) / 1e6 for count in (unfused, fused)]
            row = f"| {element.name}, batch {batch} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[0] / cells[1]:.1f} |"
            assert row in PAGE, row
