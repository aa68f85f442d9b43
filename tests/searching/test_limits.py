"""Limits that hold: what is bounded, at which batch size, and what a finalist must keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.checks import refusal
from support.mini_space import EIGHT, MINI, SETTING, drawn, sampled, truth

from resnas_deploy.arch.memory import memory_bytes
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import regression_of
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.searching.costs import Bounds
from resnas_deploy.searching.limits import Promise, check_choice, priced

SETUP = Setup(RUNNERS["ort-cpu"], "fp32", 1, 1)
ARCHS = drawn(MINI, 80)


def model_of(setup, slower=1.0, sigma=0.02):
    """A model of a machine whose errors are known; a larger batch takes as much longer as it says."""
    noise = np.exp(np.random.default_rng(0).normal(0, sigma, len(ARCHS)))
    ratios = Terms(3).of(ARCHS) @ truth() * noise * slower
    found = [sampled(arch, float(ratio)) for arch, ratio in zip(ARCHS, ratios, strict=True)]
    return LatencyModel(MINI, setup, replace(SETTING, batch=setup.batch), regression_of(found))


def asked(promise=None, setups=(SETUP,), model=model_of, space=MINI, **bounds):
    return priced(space, Bounds.parse(**bounds), promise or Promise(), setups, model)


def test_a_limit_on_latency_is_held_against_the_bound():
    found = asked(latency="80%")
    latency = found.costs[0]
    widest = MINI.widest().arch
    assert found.limits.limits[0].most == pytest.approx(0.8 * latency.of([widest]).item())
    others = drawn(MINI, 300, seed=4)
    np.testing.assert_allclose(latency.most(others), latency.of(others) * found.model.regression.factor_within(0.9))
    assert (latency.most(others) > latency.of(others)).all()
    subnets = [MINI.sample(np.random.default_rng(seed)) for seed in range(300)]
    inside = [subnet.arch for subnet, is_in in zip(subnets, found.limits.inside(subnets), strict=True) if is_in]
    assert (latency.of(inside) < found.limits.limits[0].most).all()


def test_networks_just_inside_keep_it_as_often_as_it_says():
    """Those of a search are near the limit: of a limit on the prediction itself half would miss it."""
    others, rng = drawn(MINI, 4000, seed=4), np.random.default_rng(9)
    real = Terms(3).of(others) @ truth() * np.exp(rng.normal(0, 0.02, len(others)))
    found = asked(latency="55%")
    most, anchor_ms = found.limits.limits[0].most, found.model.regression.anchor_ms
    kept = {}
    for name, costs in (("bound", found.costs[0].most(others)), ("prediction", found.costs[0].of(others))):
        near = (costs <= most) & (costs >= 0.975 * most)
        assert near.sum() > 100
        kept[name] = np.mean(anchor_ms * real[near] <= most)
    assert kept["bound"] > 0.9
    assert kept["prediction"] < 0.8


def test_a_percentile_and_a_confidence_are_said_where_a_limit_is():
    found = asked(Promise(0.8, "p90"), latency="80%")
    assert str(found.limits.limits[0]).endswith("ms (p90 at 80%)")
    assert asked(latency="80%").limits.limits[0].exact != asked(Promise(0.8), latency="80%").limits.limits[0].exact


def test_memory_is_of_the_batch_and_the_precision():
    setup = replace(SETUP, batch=8, precision="fp16")
    found = asked(setups=[setup], memory="99%")
    arch = MINI.narrowest().arch
    cost = found.costs[-1]
    assert cost.of([arch]).item() == memory_bytes(arch, 8, "fp16") / 1e6
    assert found.limits.limits[0].most == pytest.approx(0.99 * memory_bytes(MINI.widest().arch, 8, "fp16") / 1e6)
    assert found.model is None


def test_a_throughput_is_a_limit_on_the_time_of_a_batch():
    found = asked(setups=[replace(SETUP, batch=4)], throughput="1200/s")
    assert found.limits.limits[0].most == pytest.approx(1e3 * 4 / 1200)
    assert "throughput of at least 1200/s" in str(found.limits.limits[0])


def test_the_batch_that_lets_most_in_is_chosen():
    setups = [replace(SETUP, batch=batch) for batch in (1, 4, 16)]

    def model(setup):  # the fewest milliseconds an image at 4
        return model_of(setup, {1: 1.0, 4: 2.0, 16: 12.0}[setup.batch])

    said = []
    found = priced(MINI, Bounds.parse(throughput="800/s"), Promise(), setups, model, progress=said.append)
    assert found.setup.batch == 4
    assert said == ["batch 4 of 1, 4, 16 lets most in"]


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"latency": "1us"}, "must have subnets with latency of at most 0.001 ms (p50 at 90%), found from "),
        ({"memory": "1KB"}, "must have subnets with memory of at most 0.001 MB, found from "),
        ({"throughput": "1e6/s"}, "must have subnets with throughput of at least 1e+06/s"),
    ],
)
def test_a_limit_that_no_subnet_meets_is_refused_with_the_range(bounds, said):
    message = refusal(lambda: asked(**bounds))
    assert said in message
    assert message.endswith("lower the limit" if "throughput" in bounds else "raise the limit")


def test_a_space_without_a_choice_is_refused():
    only = replace(EIGHT, stages=tuple(replace(stage, droppable=()) for stage in EIGHT.stages))
    assert "must have two subnets or more, found one" in refusal(lambda: check_choice(only))
    check_choice(EIGHT)


@pytest.mark.parametrize(
    ("kind", "given", "unit"),
    [("memory", "200", "GB"), ("throughput", "20%", "the unit /s"), ("throughput", "20", "/s"), ("energy", "5W", "mJ")],
)
def test_what_is_no_quantity_is_refused(kind, given, unit):
    message = refusal(lambda: Bounds.parse(**{kind: given}))
    assert unit in message
    assert f"found '{given}'" in message
