"""Profiles of two machines, which two processes say to be: measured on one without torch, carried to the other."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.mini_space import MINI, measured, truth
from support.other_machine import machine, on_machine

from resnas_deploy.measuring.latency.elsewhere import Elsewhere, model_of
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.packed import unpack
from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.regression import least_networks
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import LatencyStore

LEAST = least_networks(Terms.of_space(MINI))
SETUP = ("--space", "mini", "--runner", "ort-cpu", "--threads", "1")


def run(folder, cpu, *words, code=0):
    """Run `resnas` on that machine, and return what it printed, and its complaint."""
    done = on_machine(cpu, *words, folder=folder)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """A file with the profile of the device, which has no torch."""
    folder = tmp_path_factory.mktemp("device")
    profile = ("latency", "profile", *SETUP, "--networks", LEAST, "--store", "device.sqlite", "--json")
    out, err = run(folder, "Jetson", *profile)
    assert err == ""
    found = json.loads(out)
    assert (found["setting"]["machine"], found["networks"]) == (machine("Jetson").slug, LEAST)
    out, _ = run(folder, "Jetson", "latency", "pack", "device.profile.json", "--store", "device.sqlite")
    assert "written: device.profile.json" in out
    assert "next, where you search: resnas latency unpack device.profile.json" in out
    return folder / "device.profile.json"


def test_a_profile_that_was_measured_without_torch_steers_another_machine(carried, tmp_path):
    server = tmp_path / "server.sqlite"
    of_server = replace(choose_setup("ort-cpu", "fp32", 1, 1, "").setting(), machine=machine("Server").slug)
    with LatencyStore(server) as store:  # which has a profile of its own, of other times
        store.add(of_server, MINI, PROFILE, 0, measured(subnets(MINI, PROFILE, LEAST), 9 * truth()))
    out, _ = run(tmp_path, "Server", "latency", "unpack", carried, "--store", server)
    assert f"{LEAST} networks are new to {server}" in out
    assert f"--latency-of {machine('Jetson').slug}" in out

    out, _ = run(tmp_path, "Server", "latency", "machines", "--store", server, "--json")
    found = json.loads(out)
    assert found["this_machine"] == machine("Server").slug
    assert {item["setting"]["machine"]: item["networks"] for item in found["profiles"]} == {
        machine("Jetson").slug: LEAST,
        machine("Server").slug: LEAST,
    }

    archs = subnets(MINI, PROFILE, 10)
    own, other = (
        model_of(Elsewhere(machine(name).slug, "fp32", 1), MINI, server).model for name in ("Server", "Jetson")
    )
    assert own.predict(archs).ms == pytest.approx([2 * item.ratio for item in measured(archs, 9 * truth())], rel=1e-3)
    with LatencyStore(carried.with_name("device.sqlite")) as store:
        kept = store.networks(other.setting, MINI, PROFILE)
    with LatencyStore(server) as store:
        assert store.networks(other.setting, MINI, PROFILE) == kept
        assert all(item.ratio != pytest.approx(1.5) for item in kept)
        assert not {item.samples_s for item in kept} & {
            item.samples_s for item in store.networks(own.setting, MINI, PROFILE)
        }


def test_a_machine_takes_no_profile_of_another_unasked(carried, tmp_path):
    """Neither to predict nor to check, though the setting is the same but for the machine."""
    path = tmp_path / "s.sqlite"
    unpack(carried, path)
    before = path.read_bytes()
    (tmp_path / "a.json").write_text(json.dumps(MINI.narrowest().arch.to_json()))
    _, err = run(tmp_path, "Server", "latency", "predict", "--arch", "a.json", *SETUP[2:], "--store", path, code=2)
    assert "must hold a profile of the space mini on ort-cpu" in err
    assert "1 threads of another machine; run: resnas latency profile" in err
    assert path.read_bytes() == before


def test_a_machine_goes_on_with_its_own_networks_alone(carried, tmp_path):
    """In a store that both use, say on a shared disk."""
    path = tmp_path / "shared.sqlite"
    unpack(carried, path)
    with LatencyStore(path) as store:
        (device,) = store.profiled()
        mine = replace(device.setting, machine=machine("Server").slug)
        store.add(mine, MINI, PROFILE, 0, measured(subnets(MINI, PROFILE, LEAST - 1), truth()))
        before = store.networks(device.setting, MINI, PROFILE)
    words = ("latency", "profile", *SETUP, "--networks", LEAST, "--store", path)
    out, _ = run(tmp_path, "Server", *words)
    assert f"{LEAST} networks of the space mini ({LEAST - 1} were measured before)" in out
    with LatencyStore(path) as store:
        assert store.networks(device.setting, MINI, PROFILE) == before
        assert len(store.networks(mine, MINI, PROFILE)) == LEAST
