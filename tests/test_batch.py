from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal

from resnas_deploy.batch import MAX_BATCH, BatchRange

sizes = st.integers(1, MAX_BATCH)


@given(sizes, sizes)
def test_text_and_back(a, b):
    batches = BatchRange(min(a, b), max(a, b))
    assert BatchRange.parse(str(batches)) == batches
    assert batches.fixed == (a == b)


@given(sizes, sizes, st.integers(-5, MAX_BATCH + 5))
def test_holds_what_lies_between_its_ends(a, b, size):
    batches = BatchRange(min(a, b), max(a, b))
    assert (size in batches) == (min(a, b) <= size <= max(a, b))


def test_one_number_is_a_fixed_size():
    assert BatchRange.parse("8") == BatchRange(8, 8)
    assert str(BatchRange.parse("8:8")) == "8"


@pytest.mark.parametrize("text", ["", "x", ":", "1:", ":8", "1:2:3", "1-8", "1.5", "8:x", "1,8"])
def test_says_what_a_batch_looks_like(text):
    assert repr(text) in refusal(lambda: BatchRange.parse(text))


@pytest.mark.parametrize("text", ["0", "-1", "8:1", "0:8", f"1:{MAX_BATCH + 1}", "1:99999999999999999999"])
def test_says_the_bounds(text):
    assert f"1 <= LEAST <= MOST <= {MAX_BATCH}" in refusal(lambda: BatchRange.parse(text))


@given(sizes, sizes, st.integers(-5, MAX_BATCH + 5))
def test_the_nearest_size(a, b, size):
    batches = BatchRange(min(a, b), max(a, b))
    found = batches.nearest(size)
    assert found in batches
    assert all(abs(found - size) <= abs(end - size) for end in (a, b))
    assert found == size or size not in batches


@given(sizes, sizes, sizes)
def test_a_range_is_extended_upwards_alone(a, b, size):
    batches = BatchRange(min(a, b), max(a, b))
    assert batches.extended_to(size) == BatchRange(batches.least, max(batches.most, size))
