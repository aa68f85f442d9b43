"""Profiles of two machines, which two processes say to be: measured on one without torch, carried to the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.mini_space import MINI, measured, truth
from support.places import ROOT, SUPPORT

from resnas_deploy.measuring.latency.elsewhere import Elsewhere, model_of
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.packed import unpack
from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.regression import least_networks
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores

PROGRAM = SUPPORT / "two_machines.py"
LEAST = least_networks(Terms.of_space(MINI))
SETUP = ("--space", "mini", "--runner", "ort-cpu", "--threads", "1")


def run(folder, *words, code=0, packages=None):
    """Run the program, and return what it printed, and its complaint. With `packages` it has those alone."""
    only, environment = [], os.environ
    if packages:
        only, environment = ["-S"], {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)])}
    command = [sys.executable, *only, str(PROGRAM), *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def without(folder, *packages):
    """The packages that are installed here but for some, as links in a folder."""
    for path in Path(np.__file__).parents[1].iterdir():
        if path.name.partition(".")[0].partition("-")[0] not in packages:
            (folder / path.name).symlink_to(path)
    return folder


def slug(name):
    return replace(this_machine(usable_cores()), cpu=name).slug


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """A file with the profile of the device, which has no torch."""
    folder = tmp_path_factory.mktemp("device")
    packages = without(tmp_path_factory.mktemp("packages"), "torch", "torchvision")
    profile = ("latency", "profile", *SETUP, "--networks", LEAST, "--store", "device.sqlite", "--json")
    out, err = run(folder, "Jetson", *profile, packages=packages)
    assert err == ""
    found = json.loads(out)
    assert (found["setting"]["machine"], found["networks"]) == (slug("Jetson"), LEAST)
    out, _ = run(
        folder, "Jetson", "latency", "pack", "device.profile.json", "--store", "device.sqlite", packages=packages
    )
    assert "written: device.profile.json" in out
    assert "next, where you search: resnas latency unpack device.profile.json" in out
    return folder / "device.profile.json"


def test_a_profile_that_was_measured_without_torch_steers_another_machine(carried, tmp_path):
    server = tmp_path / "server.sqlite"
    of_server = replace(choose_setup("ort-cpu", "fp32", 1, 1, "").setting(), machine=slug("Server"))
    with LatencyStore(server) as store:  # which has a profile of its own, of other times
        store.add(of_server, MINI, PROFILE, 0, measured(subnets(MINI, PROFILE, LEAST), 9 * truth()))
    out, _ = run(tmp_path, "Server", "latency", "unpack", carried, "--store", server)
    assert f"{LEAST} networks are new to {server}" in out
    assert f"--latency-of {slug('Jetson')}" in out

    out, _ = run(tmp_path, "Server", "latency", "machines", "--store", server, "--json")
    found = json.loads(out)
    assert found["this_machine"] == slug("Server")
    assert {item["setting"]["machine"]: item["networks"] for item in found["profiles"]} == {
        slug("Jetson"): LEAST,
        slug("Server"): LEAST,
    }

    archs = subnets(MINI, PROFILE, 10)
    own, other = (model_of(Elsewhere(slug(name), "fp32", 1), MINI, server).model for name in ("Server", "Jetson"))
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
        mine = replace(device.setting, machine=slug("Server"))
        store.add(mine, MINI, PROFILE, 0, measured(subnets(MINI, PROFILE, LEAST - 1), truth()))
        before = store.networks(device.setting, MINI, PROFILE)
    words = ("latency", "profile", *SETUP, "--networks", LEAST, "--store", path)
    out, _ = run(tmp_path, "Server", *words)
    assert f"{LEAST} networks of the space mini ({LEAST - 1} were measured before)" in out
    with LatencyStore(path) as store:
        assert store.networks(device.setting, MINI, PROFILE) == before
        assert len(store.networks(mine, MINI, PROFILE)) == LEAST
