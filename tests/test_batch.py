from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal

from resnas_deploy.batch import MAX_BATCH, BatchRange, profile_for
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.runners.tensorrt_engine import LoadedEngine, Profile

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


@given(st.lists(st.tuples(sizes, sizes, sizes).map(sorted), max_size=4), st.integers(1, MAX_BATCH))
def test_a_batch_is_run_in_the_profile_that_is_tuned_nearest_to_it(given_profiles, batch):
    """The same one by an engine's report, as plans say it, and by the engine itself, as it is run."""
    said = profile_for([BatchProfile(*each) for each in given_profiles], batch)
    away = [abs(usual - batch) for least, usual, most in given_profiles if least <= batch <= most]
    assert (said is None) == (not away)
    assert not said or (said.least <= batch <= said.most and abs(said.usual - batch) == min(away))
    loaded = LoadedEngine.__new__(LoadedEngine)
    loaded.path = "an engine"
    loaded.profiles = tuple(Profile(number, *each) for number, each in enumerate(given_profiles))
    if said is None:
        assert "must lie in" in refusal(lambda: loaded.profile_for(batch))
    else:
        assert str(loaded.profile_for(batch)) == str(said)


def test_of_overlapping_profiles():
    profiles = (BatchProfile(1, 8, 64), BatchProfile(1, 1, 1), BatchProfile(16, 64, 64))
    found = {batch: str(profile_for(profiles, batch)) for batch in (1, 2, 40, 64)}
    assert found == {1: "1:1:1", 2: "1:8:64", 40: "16:64:64", 64: "16:64:64"}
