"""The search's report: what it tells, of any space and however far the search came, and how large it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from support.made_up_search import HELD_OUT, PREDICTED, reported, unmeasured
from support.mini_space import MINI
from support.seen_page import Seen

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.searching.costs import CostKind, macs_cost
from resnas_deploy.searching.measured_limits import MeasuredLimit
from resnas_deploy.searching.report import page, write_report
from resnas_deploy.weights.space_files import space_named

SEARCH = reported(MINI, 60)


@cache
def usual():
    """The page of that search, read."""
    return Seen(page(SEARCH).html())


def test_what_it_says():
    shown = usual()
    text = "\n".join(shown.texts)
    winner = SEARCH.chosen
    assert f"60 candidates, {sum(c.score.stopped for c in SEARCH.candidates)} of them stopped early, on 25000" in text
    assert f"The winner is {fingerprint(winner)}: top-1 {winner.candidate.score.accuracy:.2%}" in text
    assert f"predicted latency {winner.candidate.costs[0]:.3g} ms" in text
    assert f"measured latency {winner.measured_ms:.3g} ms" in text
    assert f"2 of 3 finalists that were measured kept {SEARCH.limits[0]}." in text
    for name in ("stage 2: width", "stage 3, block 4: hidden", "stage 1, block 2: kept"):
        assert name in shown.texts


def fingerprint(finalist):
    return finalist.candidate.subnet.arch.fingerprint


def test_the_data_is_the_search():
    data = usual().data[0]
    scores = [candidate.score for candidate in SEARCH.candidates]
    assert data["correct"] == [score.correct for score in scores]
    assert data["seen"] == {str(n): HELD_OUT // 10 for n, score in enumerate(scores) if score.stopped}
    latency, macs, _ = data["costs"]
    assert latency["label"] == "predicted latency"
    np.testing.assert_allclose(latency["values"], [c.costs[0] for c in SEARCH.candidates], rtol=1e-4)
    assert (latency["interval"], macs["interval"]) == ([0.95, 1.06], None)
    assert (latency["limit"], macs["limit"]) == (SEARCH.searched.limits["latency"], None)
    first, second, _ = data["finalists"]
    assert first["ms"] == pytest.approx(SEARCH.finalists[0].measured_ms, rel=1e-4)
    assert first["low"] < first["ms"] < first["high"]
    assert SEARCH.candidates[first["candidate"]] == SEARCH.finalists[0].candidate
    assert (first["name"], second["name"]) == ("1", "2, the winner")
    assert first["tips"][-1] == "beyond the limit"


def test_correlations_have_the_right_sign():
    """Accuracy was made to go with MACs, and latency to be a line through them."""
    shown = Seen(page(reported(MINI, 200, stopped=0, costs=(PREDICTED,))).html()).texts
    rows = {name: shown[place + 1 : place + 3] for place, name in enumerate(shown) if name.startswith("stage 1: ")}
    assert set(rows) >= {"stage 1: width", "stage 1: blocks", "stage 1: hidden, mean of its blocks"}
    accuracy, latency = map(float, max(rows.values(), key=lambda row: float(row[1])))
    assert accuracy > 0.1
    assert latency > 0.3


def test_iterations_that_were_stopped_altogether():
    late = [replace(c, score=replace(c.score, stopped=True)) if c.iteration == 7 else c for c in SEARCH.candidates]
    kept = [item for item in SEARCH.finalists if item.candidate in late] or SEARCH.finalists[:1]
    shown = Seen(page(replace(SEARCH, candidates=late, finalists=kept)).html())
    before = usual().data[1]["series"][0]["x"]
    assert 8 in before
    assert shown.data[1]["series"][0]["x"] == [number for number in before if number != 8]


def test_before_anything_was_measured_and_where_it_could_not_be():
    shown = Seen(page(unmeasured(SEARCH)).html())
    assert [item["ms"] for item in shown.data[0]["finalists"]] == [None] * 3
    assert {"out of memory", "not measured"} <= set(shown.texts)
    text = "".join(shown.texts)
    assert f"There is no winner yet; the best as predicted is {fingerprint(SEARCH.finalists[0])}" in text
    assert "0 of 1 finalists that were measured kept" in text


def test_what_was_measured_is_the_percentile_that_is_limited():
    """Beside what is predicted, which is that too."""
    tail = replace(SEARCH, limits=(MeasuredLimit("throughput", 9), MeasuredLimit("p99", SEARCH.limits[0].bound)))
    first = Seen(page(tail).html()).data[0]["finalists"][0]
    assert first["ms"] == pytest.approx(SEARCH.finalists[0].measurement.percentile(99), rel=1e-4)
    assert first["tips"][1].startswith("measured: p99 ")


def test_latencies_that_cannot_be_predicted_here_are_those_of_the_candidates():
    """Where figures of another machine come in, its latency model need not be there."""
    without = replace(SEARCH, costs=[PREDICTED.named, *SEARCH.costs[1:]])
    shown = Seen(page(without).html())
    assert "but with predicted latency among the candidates too" in "".join(shown.texts)
    assert "among the candidates too" not in "".join(usual().texts)
    assert shown.data[0] == usual().data[0]


def test_one_candidate_and_no_limit(tmp_path):
    pytest.importorskip("matplotlib")
    search = reported(MINI, 1, costs=(macs_cost(),), finalists=1)
    search = replace(search, limits=(), searched=replace(search.searched, asked="", limits={}))
    write_report(search, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.png", "report.html"]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "report.html").read_text()
    assert "the whole front of accuracy against cost" in text
    assert "too few to say" in text


@pytest.mark.parametrize("stages", [2, 4])
def test_other_spaces(stages):
    """Of other depths, whose heads' sizes, mixers and stems are choices too."""
    widths = ((16 + 16 * stage, 8 + 16 * stage) for stage in range(stages))
    mixers = ("global", "window2", "pooled2")  # on two tokens a side or fewer a window of 2 is global
    each = tuple(StageSpace(own, (2, 1), (4, 8), (16, 8), 3, (3,), mixers) for own in widths)
    space = SearchSpace("other", each, 10, 64, 8, (8, 4))
    shown = Seen(page(reported(space, 40)).html())
    assert {"stem width", f"stage {stages}: head dim, mean of its blocks"} <= set(shown.texts)
    assert f"stage {stages + 1}: width" not in shown.texts
    values = {(one["stage"], one["block"], one["what"]): one["values"] for one in shown.data[0]["choices"]}
    assert values[0, 0, "stem width"] == [4, 8]
    assert values[stages, 1, "head dim"] == [4, 8]
    assert values[1, 1, "mixer"] == sorted(mixers)
    assert {"stage 1: window2, share of its blocks", "stage 1, block 2: pooled2"} <= set(shown.texts)
    assert f"stage {stages}: window2, share of its blocks" not in shown.texts or stages == 2
    html = page(reported(space, 40)).html()
    assert "mixer window2" in html
    assert "have colours of their own" in html
    assert "have colours of their own" not in page(SEARCH).html()


def test_a_page_of_3350_candidates_stays_small():
    """As many as the paper's searches score: 500 subnets and 19 times 150. A tenth of them says what each takes."""
    widths = CostKind("latency", "ms", lambda archs: np.array([sum(s.width for s in a.stages) / 99 for a in archs]))
    few, more = (len(page(reported(space_named("small"), count, costs=(widths,))).html()) for count in (5, 340))
    assert few + (3350 - 5) * (more - few) / (340 - 5) < 480_000
