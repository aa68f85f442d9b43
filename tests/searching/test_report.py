"""The search's report: what it tells, of any space and however far the search came, and how large it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.made_up_search import HELD_OUT, PREDICTED, reported, unmeasured
from support.mini_space import MINI
from support.seen_page import Seen

from resnas_deploy.searching.costs import CostKind, macs_cost
from resnas_deploy.searching.report import finalist_table, page, write_report
from resnas_deploy.weights.space_files import space_named

SEARCH = reported(MINI, 60)


def test_what_it_says():
    shown = Seen(page(SEARCH).html())
    text = "\n".join(shown.texts)
    winner = SEARCH.finalists[0]
    assert f"60 candidates, {sum(c.score.stopped for c in SEARCH.candidates)} of them stopped early, on 25000" in text
    assert f"The winner is {winner.fingerprint}: top-1 {winner.candidate.score.accuracy:.2%}" in text
    assert f"predicted latency {winner.candidate.costs[0]:.3g} ms" in text
    assert f"measured latency: {winner.measured_ms:.3g} ms" in text
    assert "2 of 3 finalists kept the limits when they were measured." in text
    for name in ("stage 2: width", "stage 3, block 4: hidden", "stage 1, block 2: kept"):
        assert name in shown.texts


def test_the_data_is_the_search():
    data = Seen(page(SEARCH).html()).data[0]
    scores = [candidate.score for candidate in SEARCH.candidates]
    assert data["correct"] == [score.correct for score in scores]
    assert data["seen"] == {str(n): HELD_OUT // 10 for n, score in enumerate(scores) if score.stopped}
    latency, macs, _ = data["costs"]
    assert latency["label"] == "predicted latency"
    np.testing.assert_allclose(latency["values"], [c.costs[0] for c in SEARCH.candidates], rtol=1e-4)
    np.testing.assert_allclose(latency["high"], np.multiply(latency["values"], 1.06), rtol=1e-4)
    assert "low" not in macs
    assert (latency["limit"], macs["limit"]) == (SEARCH.limits["latency"], None)
    first = data["finalists"][0]
    assert first["ms"] == pytest.approx(SEARCH.finalists[0].measured_ms, rel=1e-4)
    assert first["low"] < first["ms"] < first["high"]
    assert SEARCH.candidates[first["candidate"]] == SEARCH.finalists[0].candidate
    assert first["name"] == "1, the winner"


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
    before = Seen(page(SEARCH).html()).data[1]["series"][0]["x"]
    assert 8 in before
    assert shown.data[1]["series"][0]["x"] == [number for number in before if number != 8]


def test_before_anything_was_measured_and_where_it_could_not_be():
    shown = Seen(page(unmeasured(SEARCH)).html())
    assert [item["ms"] for item in shown.data[0]["finalists"]] == [None] * 3
    assert {"out of memory", "not measured yet"} <= set(shown.texts)
    assert "kept the limits" not in "".join(shown.texts)


def test_the_artifacts_own_accuracy_has_a_column_where_there_is_one():
    head, first, second, _ = finalist_table(SEARCH.finalists, SEARCH.costs)
    assert "of the artifact" not in head
    own = [replace(SEARCH.finalists[0], accuracy=0.5), *SEARCH.finalists[1:]]
    head, first, second, _ = finalist_table(own, SEARCH.costs)
    assert (first[head.index("of the artifact")], second[head.index("of the artifact")]) == ("50.00%", "-")


def test_one_candidate_and_no_limit(tmp_path):
    pytest.importorskip("matplotlib")
    search = replace(reported(MINI, 1, costs=(macs_cost(),), finalists=1), limits={})
    write_report(search, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["front.png", "report.html"]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "report.html").read_text()
    assert "the whole front of accuracy against cost" in text
    assert "too few to say" in text


def test_a_page_of_3350_candidates_stays_small():
    """As many as the paper's searches score: 500 subnets and 19 times 150. A tenth of them says what each takes."""
    widths = CostKind("latency", "ms", lambda archs: np.array([sum(s.width for s in a.stages) / 99 for a in archs]))
    widths = replace(widths, interval=lambda archs: (0.9 * widths.of(archs), 1.1 * widths.of(archs)))
    few, more = (len(page(reported(space_named("small"), count, costs=(widths,))).html()) for count in (5, 340))
    assert few + (3350 - 5) * (more - few) / (340 - 5) < 480_000
