"""Which profile of another machine is meant; a server need not have that machine's runtime."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal
from support.mini_space import EIGHT, MINI, SETTING, drawn, measured, truth

from resnas_deploy.measuring.latency import elsewhere as module
from resnas_deploy.measuring.latency.elsewhere import Elsewhere, model_of
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS

ARCHS = drawn(MINI, 60)
ASKED = Elsewhere("jetson", "fp32", 1)
JETSON = replace(SETTING, machine="jetson-6-cores-1a2b3c4d", runner="tensorrt", version="tensorrt 10", device="cuda:0")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "latency.sqlite"


def fill(path, *settings, space=MINI, factor=1.0):
    with LatencyStore(path) as store:
        for number, setting in enumerate(settings, start=1):
            store.add(setting, space, "profile", 0, measured(ARCHS, factor * number * truth()))


def test_a_machine_is_found_by_the_beginning_of_its_name_though_its_runtime_is_not_here(path):
    fill(path, JETSON, replace(SETTING, machine="server-64-cores"))
    found = model_of(ASKED, MINI, path)
    assert found.notes == ()
    assert found.model.setting == JETSON
    assert found.model.setup == Setup(RUNNERS["tensorrt"], "fp32", 1, SETTING.threads, "cuda:0")
    archs = drawn(MINI, 4, seed=7)
    assert found.model.predict(archs).ms == pytest.approx(
        [2 * item.ratio for item in measured(archs, truth())], rel=1e-3
    )
    server = model_of(replace(ASKED, machine="server-64-cores"), MINI, path)
    assert server.model.predict(archs).ms == pytest.approx(2 * found.model.predict(archs).ms, rel=1e-3)


@pytest.mark.parametrize("name", ["nano", "jetson-6-cores-1a2b3c4d-more", "JETSON"])
def test_an_unknown_machine_is_told_which_there_are(path, name):
    fill(path, JETSON, replace(SETTING, machine="server"))
    message = refusal(lambda: model_of(replace(ASKED, machine=name), MINI, path))
    assert message == (
        f"`latency_of` must be a machine that was profiled, found '{name}'; there are: jetson-6-cores-1a2b3c4d; server"
    )


def test_an_empty_store(path):
    message = refusal(lambda: model_of(ASKED, MINI, path))
    assert message.endswith("found 'jetson'; there are none: `latency.unpack()` brings them")
    assert not path.exists()


def test_two_machines_that_begin_alike(path):
    fill(path, JETSON, replace(JETSON, machine="jetson-8-cores"))
    message = refusal(lambda: model_of(ASKED, MINI, path))
    assert message == (
        "`latency_of` must name one machine, found 'jetson', which begins jetson-6-cores-1a2b3c4d; jetson-8-cores"
    )
    assert model_of(replace(ASKED, machine="jetson-8"), MINI, path).model.setting.machine == "jetson-8-cores"


def test_another_space_is_told_which_there_are(path):
    fill(path, JETSON, space=MINI.with_image_size(168))
    message = refusal(lambda: model_of(ASKED, MINI, path))
    assert (
        "must hold a profile of the space mini at 112 pixels on jetson-6-cores-1a2b3c4d, found mini at 168;" in message
    )
    assert "`latency.machines()`" in message
    assert "found mini at 168" in refusal(lambda: model_of(ASKED, EIGHT, path))


def test_another_setting_is_told_which_there_are(path):
    fill(path, JETSON, replace(JETSON, batch=8))
    for changes in ({"runner": "openvino"}, {"batch": 4}, {"precision": "fp16"}, {"threads": 7}, {"device": "cuda:1"}):
        message = refusal(lambda changes=changes: model_of(replace(ASKED, **changes), MINI, path))
        assert "found tensorrt (tensorrt 10), fp32, batch 1, 2 threads, cuda:0; tensorrt (tensorrt 10)" in message
        assert str(next(iter(changes.values()))) in message


def test_several_settings_must_be_told_apart(path):
    other = replace(JETSON, runner="ort-cpu", version="onnxruntime 1", device="cpu")
    fill(path, JETSON, other, replace(other, threads=4))
    assert "there must be one profile that fits, found" in refusal(lambda: model_of(ASKED, MINI, path))
    assert model_of(replace(ASKED, runner="tensorrt"), MINI, path).model.setting == JETSON
    message = refusal(lambda: model_of(replace(ASKED, runner="ort-cpu"), MINI, path))
    assert "choose by `runner`, `threads` or `device`" in message
    assert model_of(replace(ASKED, threads=4), MINI, path).model.setting.threads == 4
    assert model_of(replace(ASKED, device="cuda"), MINI, path).model.setting == JETSON


def test_of_several_versions_the_latest_measured_is_taken_and_said(path):
    newer = replace(JETSON, version="tensorrt 9")  # measured later, whatever it is called
    fill(path, JETSON, newer)
    found = model_of(ASKED, MINI, path)
    assert found.model.setting == newer
    assert found.notes == (
        f"the profile is of tensorrt 9, the latest of {JETSON.machine}; "
        "there is one of tensorrt 10 too, which is not looked at",
    )


def test_a_version_that_this_very_machine_no_longer_has_is_said(path):
    here = Setup(RUNNERS["ort-cpu"], "fp32", 1, 1).setting()
    fill(path, replace(here, version="onnxruntime 0.9"))
    found = model_of(replace(ASKED, machine=this_machine(usable_cores()).slug), MINI, path)
    assert found.notes == (
        f"the profile is of onnxruntime 0.9, and {here.version} is installed here: what differs is not known",
    )


def test_a_runner_that_nobody_knows(path):
    fill(path, replace(JETSON, runner="abacus"))
    assert "the runner of a profile must be one of" in refusal(lambda: model_of(ASKED, MINI, path))


def test_what_is_known_of_a_setup_before_its_profile_is_found():
    assert ASKED.setup().kind.name == "ort-cpu"
    assert replace(ASKED, runner="tensorrt").setup().kind is RUNNERS["tensorrt"]
    assert "`runner` must be one of" in refusal(replace(ASKED, runner="abacus").setup)
    assert module.setup_of(JETSON).threads == JETSON.threads
