"""The figures that follow from samples."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made_up_measuring import configuration, measurement

from resnas_deploy.measuring.measurement import REPORTS_APART

ONES = ((1.0, 1.0), (1.0, 1.0))


def test_percentiles_of_known_samples_of_all_openings():
    found = measurement([[0.04, 0.01, 0.03], [0.02, 0.05]])
    expected = {0: 10, 50: 30, 90: 46, 99: 49.6, 100: 50}  # 90: 0.6 of the way from 40 to 50
    assert {percent: found.percentile(percent) for percent in expected} == pytest.approx(expected)
    assert measurement([[0.002]]).percentile(99) == pytest.approx(2.0)


@given(st.lists(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=5), min_size=1, max_size=4))
def test_percentiles_rise_and_stay_within_the_samples(samples):
    found = measurement(samples)
    flat = sorted(1e3 * value for group in samples for value in group)
    figures = [flat[0], *(found.percentile(percent) for percent in (50, 90, 99)), flat[-1]]
    assert all(low <= high * (1 + 1e-9) for low, high in itertools.pairwise(figures))


def test_throughput_is_images_over_all_the_time():
    assert measurement([[0.1], [0.3]], batch=8, images=8).throughput == pytest.approx(40)  # 16 images in 0.4 s


def test_throughput_with_streams_counts_the_images_of_all():
    found = measurement([[0.5, 1.5]], batch=2, streams=3, images=24)
    assert found.throughput == pytest.approx(24)  # 48 images in 2 s


def test_all_figures():
    found = measurement(((0.5, 0.5), (0.5, 0.5)), batch=4, images=4).figured(((0.25, 0.25), (0.25, 0.25)))
    assert (found.p50_ms, found.p90_ms, found.p99_ms, found.images_per_second) == pytest.approx((500, 500, 500, 8))
    assert (found.over_reference, found.over_reference_low, found.over_reference_high) == pytest.approx((2, 2, 2))
    assert found.repeats_within == pytest.approx(math.exp(math.sqrt(2) * 1.959964 * REPORTS_APART) - 1)


def test_how_far_another_session_may_lie_counts_its_error_too():
    item = measurement(((1.0, 1.0), (1.1, 1.1), (1.2, 1.2)))
    reference = ((1.0, 1.0),) * 3
    half_width = item.over(reference).half_width
    assert half_width > 0
    assert item.figured(reference).repeats_within == pytest.approx(
        math.exp(math.sqrt(2) * math.hypot(half_width, 1.959964 * REPORTS_APART)) - 1
    )
    assert item.figured(reference) == item.figured(reference)


def test_of_the_ceiling():
    item = replace(measurement(ONES), ceiling_ms=250.0)
    assert item.of_ceiling == pytest.approx(0.25)
    assert replace(item, ceiling_ms=None).of_ceiling is None
    assert replace(item, samples_s=(), failure="out of memory").of_ceiling is None


def test_what_was_timed_in_words():
    assert str(configuration(batch=4)) == "label, ort-cpu, batch 4, host to host, 2 threads"
    assert str(configuration(streams=2)) == "label, ort-cpu, batch 1, host to host, 2 streams of 2 threads"
    assert str(configuration(streams=2, threads=1)) == "label, ort-cpu, batch 1, host to host, 2 streams of 1 thread"


@pytest.mark.parametrize(("device", "place"), [("cpu", "cpu"), ("cuda:1 NVIDIA L4", "cuda:1"), ("", "")])
def test_the_place_is_without_the_name(device, place):
    assert configuration(device=device).place == place
