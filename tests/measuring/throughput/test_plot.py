"""The picture of a search: points, the front, and the best, as an image and as a page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.made_up_measuring import MACHINE, report

from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.measuring.throughput.found import BestSetting, ThroughputSearch, Tried
from resnas_deploy.measuring.throughput.plot import front_of, plot_throughput, throughput_page

TRIED = (
    Tried(1, 2, 8, 30.0, 270.0),
    Tried(1, 2, 1, 20.0, 50.0),
    Tried(1, 2, 2, 18.0, 100.0),  # slower, and later
    Tried(2, 1, 8, 33.0, 500.0),
    Tried(2, 1, 64, failure="out of memory"),
    Tried(2, 1, 16, 33.0, 900.0),  # as fast, and later
)
BEST = BestSetting(
    "folder", "$a_$", "ort-cpu", 2, 1, 8, Interval(33.0, 32.0, 34.0), 500.0, 600.0,
    1, Interval(1.6, 1.5, 1.7), 8, Interval(1.1, 1.0, 1.2),
)  # fmt: skip


def searched(*, best=BEST, tried=TRIED):
    search = ThroughputSearch("folder", "$a_$", "ab" * 32, "fp32", "ort-cpu", 40, 9.0, 0, tried, best=best)
    return replace(report(), throughput=(search,))


def test_the_front_is_what_none_beats_in_both():
    front = front_of([each for each in TRIED if each.failure is None])
    assert [(each.batch_p50_ms, each.images_per_second) for each in front] == [
        (50.0, 20.0),
        (270.0, 30.0),
        (500.0, 33.0),
    ]
    assert front_of([]) == []


def test_a_page_has_the_points_and_the_table():
    page = throughput_page(replace(searched(), machine=replace(MACHINE, instructions="AVX2"))).html()
    assert "a CPU with AVX2" in page
    assert "2 streams of 1 thread, batch 8" in page
    assert "out of memory" in page
    assert "Throughput against latency" in page


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
@pytest.mark.parametrize(
    "made", [searched(), searched(best=None), searched(best=None, tried=())], ids=["best", "none", "nothing"]
)
def test_it_is_drawn(tmp_path, suffix, made):
    pytest.importorskip("matplotlib")
    plot_throughput(made, tmp_path / f"plot{suffix}")
    assert (tmp_path / f"plot{suffix}").stat().st_size > 1000
