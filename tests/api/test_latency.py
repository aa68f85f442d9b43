"""Latencies from Python: what the commands of `resnas latency` do, with their results as values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.checks import refusal
from support.mini_space import EIGHT, MINI, drawn, measured, truth

import resnas_deploy as resnas
from resnas_deploy.measuring.latency import anchored
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.regression import least_networks
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.timing import WarmUp
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.weights.space_files import packaged_spaces

OPTIONS = {"runner": "ort-cpu", "threads": 1}
LEAST = least_networks(Terms(3))


@pytest.fixture(autouse=True)
def mini(monkeypatch):
    """The space, and rounds that are few."""
    monkeypatch.setitem(packaged_spaces(), "mini", MINI)
    monkeypatch.setattr(anchored, "MOST_ROUNDS", 5)
    monkeypatch.setattr(anchored, "WARM", WarmUp(window=1, tolerance=0.5, most=2))


@pytest.fixture
def store(tmp_path):
    """A store that lacks one network of a profile that the fit can do with."""
    path = tmp_path / "s.sqlite"
    setting = choose_setup("ort-cpu", "fp32", 1, 1, "").setting()
    with LatencyStore(path) as opened:
        opened.add(setting, MINI, PROFILE, 0, measured(subnets(MINI, PROFILE, LEAST - 1), truth()))
    return path


def test_a_profile_is_a_model_and_says_nothing(store, capfd):
    heard = []
    model = resnas.profile("mini", **OPTIONS, networks=LEAST, store=store, progress=heard.append)
    assert isinstance(model, resnas.LatencyModel)
    assert (model.measured_now, model.regression.networks) == (1, LEAST)
    archs = drawn(MINI, 4, seed=5)
    found = model.predict(archs)
    assert found.ms.shape == (4,)
    assert (found.low <= found.ms).all()
    assert (found.ms <= found.high).all()
    assert any("1 networks" in text or f"of {LEAST} networks" in text for text in heard)
    assert capfd.readouterr() == ("", "")
    document = json.loads(json.dumps(model.to_json()))
    assert (document["space"], document["networks"], document["measured_now"]) == ("mini", LEAST, 1)
    assert document["setting"]["runner"] == "ort-cpu"
    assert "<td>mini</td>" in model._repr_html_()
    again = resnas.latency.profile(MINI, **OPTIONS, networks=LEAST, store=str(store))
    assert again.measured_now == 0
    assert again.predict(archs).ms == pytest.approx(found.ms)


def test_each_image_size_has_a_profile_of_its_own(store):
    larger = MINI.with_image_size(168)
    setting = choose_setup("ort-cpu", "fp32", 1, 1, "").setting()
    with LatencyStore(store) as opened:
        opened.add(setting, larger, PROFILE, 0, measured(subnets(larger, PROFILE, LEAST), 2 * truth()))
    own = resnas.profile("mini", **OPTIONS, networks=LEAST, store=store)
    found = resnas.latency.profile("mini", **OPTIONS, image_size=168, networks=LEAST, store=store)
    assert (found.space, found.measured_now) == (larger, 0)
    arch = drawn(MINI, 1, seed=5)[0]
    at_own, at_larger = (
        resnas.latency.predict(arch, **OPTIONS, image_size=size, store=store).networks[0] for size in (None, 168)
    )
    assert at_own.ms == pytest.approx(own.predict([arch]).ms.item())
    assert at_larger.ms == pytest.approx(found.predict([arch.with_image_size(168)]).ms.item())
    assert at_larger.macs > at_own.macs


@pytest.mark.parametrize("precision", ["int8", pytest.param("fp8", marks=pytest.mark.slow)])
def test_a_quantised_network_is_profiled_and_checked_without_images(precision, tmp_path):
    store = tmp_path / "quantised.sqlite"
    setting = choose_setup("ort-cpu", precision, 1, 1, "").setting()
    with LatencyStore(store) as opened:
        opened.add(setting, MINI, PROFILE, 0, measured(subnets(MINI, PROFILE, LEAST - 1), truth()))
    options = {**OPTIONS, "precision": precision, "store": store}
    model = resnas.latency.profile("mini", **options, networks=LEAST)
    assert (model.measured_now, model.setting.precision) == (1, precision)
    found = resnas.latency.check("mini", **options, subnets=2)
    assert all(ms > 0 for ms in found.deviations.measured_ms)


def test_predictions_are_the_models(store):
    model = resnas.profile("mini", **OPTIONS, networks=LEAST, store=store)
    first, second = drawn(MINI, 2, seed=5)
    (store.parent / "found.json").write_text(json.dumps(second.to_json()))
    found = resnas.latency.predict([first, store.parent / "found.json"], **OPTIONS, store=store)
    assert [item.ms for item in found.networks] == pytest.approx(model.predict([first, second]).ms.tolist())
    assert [item.arch for item in found.networks] == [first.fingerprint, str(store.parent / "found.json")]
    assert [row["arch"] for row in found.to_json()["predictions"]] == [item.arch for item in found.networks]
    alone = resnas.latency.predict(first, **OPTIONS, store=store)
    assert alone.networks == found.networks[:1]
    assert first.fingerprint in alone._repr_html_()
    few = replace(first, classes=first.classes + 3)  # as the data has that a supernet of the space was trained on
    assert resnas.latency.predict(few, **OPTIONS, store=store).networks[0].space == "mini"


def test_a_check_is_of_networks_that_the_profile_has_not_seen(store, tmp_path):
    resnas.profile("mini", **OPTIONS, networks=LEAST, store=store)
    found = resnas.latency.check("mini", **OPTIONS, subnets=2, store=store)
    profiled = {arch.fingerprint for arch in subnets(MINI, PROFILE, LEAST)}
    assert len(found.deviations.networks) == 2
    assert not set(found.deviations.networks) & profiled
    assert found.unsaved is None
    document = json.loads(json.dumps(found.to_json()))
    assert document["networks"] == list(found.deviations.networks)
    assert document["machine"]["cores"] == this_machine(usable_cores()).cores
    found.plot(tmp_path / "check.svg")
    assert (tmp_path / "check.svg").read_text().startswith("<?xml")
    assert "latency model" in found._repr_html_()


def test_what_is_not_there_is_said_in_the_words_of_the_api(store):
    message = refusal(lambda: resnas.latency.check("mini", **OPTIONS, batch=8, store=store))
    call = f"`latency.profile(space='mini', runner='ort-cpu', precision='fp32', batch=8, threads=1, store='{store}')`"
    assert message.endswith(f"run: {call}")
    assert "`networks` must be" in refusal(lambda: resnas.profile("mini", **OPTIONS, networks=1, store=store))
    assert "`space` must be one of tiny, small" in refusal(lambda: resnas.profile("huge", store=store))
    assert "`subnets` must be from 2 to 100000, found 1" in refusal(
        lambda: resnas.latency.check("mini", **OPTIONS, subnets=1, store=store)
    )
    model = resnas.profile("mini", **OPTIONS, networks=LEAST, store=store)
    assert "must be a network of the space mini" in refusal(lambda: model.predict([EIGHT.widest().arch]))
