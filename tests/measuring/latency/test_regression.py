"""The regression: exact without noise, an interval that covers, weights that are never negative."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.mini_space import drawn, truth
from support.small_spaces import FOUR_STAGES, TWO_STAGES

from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.regression import COVERED, fit, least_networks
from resnas_deploy.weights.space_files import packaged_spaces

SPACE = packaged_spaces()["small"]
ARCHS = drawn(SPACE, 120)
WEIGHTS = truth(SPACE)
ANCHOR_MS = 40.0


def fitted(ratios, archs=ARCHS, seed=0):
    return fit(archs, ratios, ANCHOR_MS, np.random.default_rng(seed))


def exact(archs=ARCHS, weights=WEIGHTS):
    return Terms(3).of(archs) @ weights


def noisy(archs, rng, sigma=0.03):
    return exact(archs) * np.exp(rng.normal(0, sigma, len(archs)))


def test_the_weights_are_found_again_without_noise():
    model = fitted(exact())
    np.testing.assert_allclose(model.weights, WEIGHTS, rtol=1e-6)
    others = drawn(SPACE, 50, seed=5)
    found = model.predict(others)
    np.testing.assert_allclose(found.ms, ANCHOR_MS * exact(others), rtol=1e-9)
    assert model.mape < 1e-9
    assert model.spread < 1e-9
    assert model.networks == len(ARCHS)


@pytest.mark.parametrize("space", [TWO_STAGES, FOUR_STAGES], ids=lambda space: space.name)
def test_networks_with_mixers_are_predicted_without_noise(space):
    archs, others = drawn(space, 120), drawn(space, 50, seed=5)
    terms, weights = Terms.of_space(space), truth(space)
    model = fitted(terms.of(archs) @ weights, archs)
    assert model.terms == terms
    np.testing.assert_allclose(model.predict(others).ms, ANCHOR_MS * (terms.of(others) @ weights), rtol=1e-6)


@pytest.mark.parametrize("term", range(len(WEIGHTS)))
def test_a_term_that_costs_nothing_gets_no_weight(term):
    weights = WEIGHTS.copy()
    weights[term] = 0
    np.testing.assert_allclose(fitted(exact(weights=weights)).weights, weights, rtol=1e-5, atol=1e-7 * WEIGHTS[term])


def test_the_interval_covers_as_many_networks_as_it_says():
    others, shares = drawn(SPACE, 500, seed=6), []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = fitted(noisy(ARCHS, rng), seed=seed)
        found, real = model.predict(others), ANCHOR_MS * noisy(others, rng)
        shares.append(np.mean((found.low <= real) & (real <= found.high)))
    assert abs(np.mean(shares) - COVERED) < 0.02, f"{np.mean(shares):.1%} of networks lie in the interval"
    assert min(shares) > 0.88, f"{min(shares):.1%} in the worst of 20 profiles"


def test_the_error_that_is_said_is_that_of_networks_never_seen():
    others, said, real = drawn(SPACE, 500, seed=7), [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        model = fitted(noisy(ARCHS, rng), seed=seed)
        said.append(model.mape)
        real.append(np.mean(np.abs(model.predict(others).ms / (ANCHOR_MS * noisy(others, rng)) - 1)))
    assert 0.9 < np.mean(said) / np.mean(real) < 1.1, f"{np.mean(said):.2%} said, {np.mean(real):.2%} found"


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.5))
@settings(max_examples=30)
def test_no_weight_is_negative_whatever_was_measured(seed, sigma):
    rng = np.random.default_rng(seed)
    model = fitted(np.exp(rng.normal(0, sigma, len(ARCHS))))
    found = model.predict(drawn(SPACE, 20, seed=8))
    assert min(model.weights) >= 0
    assert (found.low > 0).all()
    assert (found.low <= found.ms).all()
    assert (found.ms <= found.high).all()
    assert np.isfinite(found.high).all()


def test_too_few_networks_are_refused():
    least = least_networks(Terms(3))
    message = refusal(lambda: fitted(exact()[: least - 1], ARCHS[: least - 1]))
    assert f"at least {least} measured networks, found {least - 1}" in message
    assert fitted(exact()[:least], ARCHS[:least]).networks == least


def test_networks_predicted_together_or_one_by_one_are_the_same():
    model, others = fitted(noisy(ARCHS, np.random.default_rng(0))), drawn(SPACE, 30, seed=9)
    together = model.predict(others)
    for number, arch in enumerate(others):
        alone = model.predict([arch])
        for name in ("ms", "low", "high"):
            np.testing.assert_allclose(getattr(alone, name), getattr(together, name)[number], rtol=1e-12)
    assert model.predict([]).ms.shape == (0,)


def test_the_same_measurements_give_the_same_model():
    ratios = noisy(ARCHS, np.random.default_rng(0))
    assert fitted(ratios) == fitted(ratios)
    assert fitted(ratios).weights == fitted(ratios, seed=1).weights  # the folds decide the error alone
