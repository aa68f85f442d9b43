"""Limits on what a subnet costs, as they are asked for: quantities as text, per cent of the widest, plain numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.checks import refusal
from support.mini_space import MINI, SETTING, drawn, measured, truth
from support.small_data import SPACE

from resnas_deploy.arch.cost import macs
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import regression_of
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.searching.costs import Bounds, CostKind, CostLimit, CostLimits, latency_cost, macs_cost


def asked(**changes):
    return Bounds.parse(**{"macs": "", "parameters": "", "latency": ""} | changes)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("macs", "2.9G", 2.9),
        ("macs", " 1500 M", 1.5),
        ("macs", "2000000", 0.002),
        ("macs", 2_000_000, 0.002),
        ("macs", 2.9e9, 2.9),
        ("parameters", "60M", 60),
        ("parameters", "0.06G", 60),
        ("parameters", 60e6, 60),
        ("latency", "8ms", 8),
        ("latency", "0.008 s", 8),
        ("latency", "8000us", 8),
        ("latency", 8, 8),
    ],
)
def test_an_amount_is_in_the_unit_of_its_cost(kind, given, value):
    bound = getattr(asked(**{kind: given}), kind)
    assert not bound.relative
    assert bound.amount == pytest.approx(value)
    assert bound.limit(macs_cost(), SPACE).most == bound.amount


def test_what_is_not_asked_for_bounds_nothing():
    assert asked() == Bounds()
    assert asked(macs="1G").latency is None


def test_a_percentage_is_of_the_widest_subnet():
    found = asked(macs="40%").macs.limit(macs_cost(), SPACE)
    assert found.most == pytest.approx(0.4 * macs(SPACE.widest().arch) / 1e9)


def test_a_limit_is_within_reach_where_the_narrowest_in_macs_is_not_the_cheapest():
    """Windows that save MACs and take time: a limit below what they take is met with other mixers."""
    stage = replace(MINI.stages[0], mixers=("global", "window2"))
    space = replace(MINI, stages=(stage, *MINI.stages[1:]))

    def ms(archs):
        return np.array([1 + sum(b.mixer == "window2" for s in a.stages for b in s.blocks) for a in archs], float)

    narrowest = space.narrowest()
    assert {block.mixer for block in narrowest.arch.stages[0].blocks} == {"window2"}
    cost = CostKind("latency", "ms", ms)
    assert CostLimits((CostLimit(cost, 1.5),)).within(space).limits
    message = refusal(lambda: CostLimits((CostLimit(cost, 0.5),)).within(space))
    assert "found from 1 ms to 5 ms" in message


@pytest.mark.parametrize("given", ["G", "-1G", "1T", "nanG", "0G", "1e999G", "1 2G", "%", "0%", 0, -1.0, float("nan")])
def test_what_is_no_limit_is_refused(given):
    message = refusal(lambda: asked(macs=given))
    assert "`max_macs` must be a number with one of the units G, M, or % of the widest subnet's, found" in message


def test_a_time_must_have_its_unit_as_text():
    assert "`max_latency` must be a number with one of the units s, ms, us, or %" in refusal(lambda: asked(latency="8"))


def test_a_model_of_another_space_is_no_cost():
    regression = regression_of(measured(drawn(MINI, 60), truth()))
    model = LatencyModel(MINI, Setup(RUNNERS["ort-cpu"], "fp32", 1), SETTING, regression)
    message = refusal(lambda: latency_cost(model, SPACE))
    assert (
        f"`model` must be of the supernet's space, {SPACE.name} at {SPACE.image_size} pixels, found one of mini at 112"
        in message
    )
