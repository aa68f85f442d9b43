"""The figures of a check, against numbers worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.mini_space import ANCHOR_S, MINI, SETTING, drawn, measured, sampled, truth
from support.seen_page import Seen

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.measuring.latency import deviations_plot
from resnas_deploy.measuring.latency.check import LatencyCheck
from resnas_deploy.measuring.latency.deviations import deviations_of, errors_of
from resnas_deploy.measuring.latency.deviations_plot import plot_deviations
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import regression_of
from resnas_deploy.measuring.latency.regression import Regression
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.runners.registry import RUNNERS

PROFILED = measured(drawn(MINI, 80), truth())
HELD_OUT = measured(drawn(MINI, 20, seed=1), truth())
MODEL = regression_of(PROFILED)


def test_errors_by_hand():
    found = errors_of("it", np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 2.0, 2.4, 5.0]))
    assert found.predictor == "it"
    assert found.mape == pytest.approx((0.5 + 0 + 0.25 + 0.2) / 4)
    assert found.worst == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("measured_ms", "spearman", "kendall"),
    [
        ([1, 2, 3, 4], 1, 1),
        ([4, 3, 2, 1], -1, -1),
        ([1, 3, 2, 4], 1 - 6 * (1 + 1) / (4 * 15), (5 - 1) / 6),  # 1 of 6 pairs is in another order
        ([2, 1, 4, 3], 1 - 6 * 4 / (4 * 15), (4 - 2) / 6),
        ([7, 7, 7, 7], 0, 0),  # not defined
    ],
)
def test_correlations_by_hand(measured_ms, spearman, kendall):
    found = errors_of("it", np.array([10.0, 20.0, 30.0, 40.0]), np.array(measured_ms, float))
    assert (found.spearman, found.kendall) == pytest.approx((spearman, kendall))


def test_a_predictor_that_always_says_the_same_ranks_nothing():
    found = errors_of("it", np.full(4, 3.0), np.array([1.0, 2.0, 3.0, 4.0]))
    assert (found.spearman, found.kendall) == (0, 0)


def test_a_perfect_model():
    found = deviations_of(MODEL, PROFILED, HELD_OUT, HELD_OUT)
    ours, by_macs, by_parameters = found.accuracies
    assert [item.predictor for item in found.accuracies] == ["latency model", "MACs", "parameters"]
    assert ours.mape < 1e-6
    assert (ours.spearman, ours.kendall) == pytest.approx((1, 1))
    assert ours.worst < by_macs.worst
    assert ours.worst < by_parameters.worst
    assert (found.noise.mape, found.noise.worst) == (0, 0)
    np.testing.assert_allclose(found.measured_ms, [1e3 * ANCHOR_S * item.ratio for item in HELD_OUT])
    assert found.networks == tuple(item.arch.fingerprint for item in HELD_OUT)


@pytest.mark.parametrize(("cost", "place"), [(macs, 1), (parameters, 2)])
def test_a_line_is_exact_where_latency_is_one(cost, place):
    """A latency that is a line through MACs is what the line through MACs predicts, and so with parameters."""
    linear = [sampled(arch, 0.3 + 1e-7 * cost(arch)) for arch in drawn(MINI, 80)]
    others = [sampled(arch, 0.3 + 1e-7 * cost(arch)) for arch in drawn(MINI, 20, seed=1)]
    found = deviations_of(MODEL, linear, others, others)
    assert found.accuracies[place].mape < 1e-9
    assert found.accuracies[3 - place].mape > 1e-6


def test_what_was_measured_is_between_the_two_measurements_whatever_their_order():
    again = [sampled(item.arch, 1.21 * item.ratio) for item in reversed(HELD_OUT)]
    found = deviations_of(MODEL, PROFILED, HELD_OUT, again)
    np.testing.assert_allclose(found.measured_ms, [1.1 * 1e3 * ANCHOR_S * item.ratio for item in HELD_OUT])
    assert found.accuracies[0].mape == pytest.approx(1 - 1 / 1.1, rel=1e-6)
    assert found.noise.mape == pytest.approx(0.21)
    assert found.noise.spearman == pytest.approx(1)


@pytest.mark.parametrize(("slower", "inside"), [(1.0, 1.0), (1.09, 1.0), (1.11, 0.0), (0.92, 1.0), (0.9, 0.0)])
def test_the_share_inside_the_interval(slower, inside):
    model = replace(MODEL, spread=float(np.log(1.1)))
    shifted = [sampled(item.arch, slower * item.ratio) for item in HELD_OUT]
    assert deviations_of(model, PROFILED, shifted, shifted).inside == inside


def test_the_document_is_json_whatever_the_model():
    machine = Machine("A CPU", 2, "Linux", "3.11")
    constant = Regression((1.0,) + (0.0,) * 13, 2.0, 0.1, 0.1, 80, Terms(3))
    for model in (MODEL, constant):
        whole = LatencyModel(MINI, Setup(RUNNERS["ort-cpu"], "fp32", 1), SETTING, model)
        document = LatencyCheck(whole, machine, deviations_of(model, PROFILED, HELD_OUT, HELD_OUT)).to_json()
        read = json.loads(json.dumps(document, allow_nan=False))
        assert (read["schema"], read["space"], read["profiled"]) == (1, "mini", 80)
        assert read["setting"]["runner"] == "ort-cpu"
        assert [item["predictor"] for item in read["accuracies"]] == ["latency model", "MACs", "parameters"]
        assert len(read["networks"]) == len(read["measured_ms"]) == len(read["predicted_ms"]) == len(HELD_OUT)


def test_the_page_has_every_network_with_its_interval(tmp_path):
    found = deviations_of(replace(MODEL, spread=float(np.log(1.1))), PROFILED, HELD_OUT, HELD_OUT)
    plot_deviations(found, SETTING, tmp_path / "check.html")
    page = Seen((tmp_path / "check.html").read_text())
    model, line = page.data
    (networks,) = model["series"]
    np.testing.assert_allclose(networks["x"], found.measured_ms, rtol=1e-4)
    np.testing.assert_allclose(networks["yHigh"], np.multiply(found.predicted_ms, 1.1), rtol=1e-4)
    assert networks["tips"][3].split("\n")[0] == found.networks[3]
    assert "yLow" not in line["series"][0]
    assert set(found.networks) <= set(page.texts)
    assert "100% of the networks were measured within the interval" in "".join(page.texts)


def test_titles_of_the_drawing_do_not_run_into_each_other(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr(deviations_plot, "write_figure", lambda figure, *_, **__: figures.append(figure))
    plot_deviations(deviations_of(MODEL, PROFILED, HELD_OUT, HELD_OUT), SETTING, tmp_path / "check.svg")
    (figure,) = figures
    figure.draw_without_rendering()
    texts = [*(axis.title for axis in figure.axes), figure._suptitle]
    boxes = [text.get_window_extent() for text in texts]
    for number, box in enumerate(boxes):
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
