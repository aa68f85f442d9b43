"""An imported supernet searched for three machines, each by its own profile out of one store; nothing is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from support.every_subnet import every_subnet
from support.mini_space import SETTING, measured, truth
from support.networks import golden_space
from support.places import GOLDEN

import resnas_deploy as resnas
from resnas_deploy.measuring.latency.elsewhere import Elsewhere, model_of
from resnas_deploy.measuring.latency.packed import pack
from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.searching.found import read_found

SPACE = golden_space("few")
SEARCH = {"first": 64, "iterations": 1, "children": 2, "finalists": 1, "tries": 1, "evaluate_fully": True}
MACHINES = ("jetson", "phone", "server")
SLOW = {
    "jetson": slice(1, 4),
    "phone": slice(7, 10),
    "server": slice(0, 1),
}  # terms: of a stage's blocks, and a constant


def weights_of(machine):
    """What the terms take on a machine: some of them ten times as long as on others."""
    weights = truth(SPACE).copy()
    weights[SLOW[machine]] *= 10
    return weights


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One store, into which a profile of each machine was unpacked."""
    folder = tmp_path_factory.mktemp("profiles")
    for number, machine in enumerate(MACHINES):
        setting = replace(SETTING, machine=machine, threads=1 + number)
        with LatencyStore(folder / f"{machine}.sqlite") as opened:
            opened.add(setting, SPACE, PROFILE, 0, measured(subnets(SPACE, PROFILE, 50), weights_of(machine)))
        pack(folder / f"{machine}.json", folder / f"{machine}.sqlite")
        resnas.latency.unpack(folder / f"{machine}.json", store=folder / "store.sqlite")
    return folder / "store.sqlite"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The golden supernet, imported, and images of its classes."""
    folder = tmp_path_factory.mktemp("imported")
    (folder / "names.txt").write_text("".join(f"class{number}\n" for number in range(10)))
    for number in range(20):
        path = folder / "images" / f"class{number % 10}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pattern = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pattern).resize((128, 128), Image.Resampling.NEAREST).save(path)
    supernet = folder / "supernet.safetensors"
    golden = GOLDEN / "vit_search_supernet_mini.pth.tar"
    space = GOLDEN / "spaces" / "few.toml"
    resnas.import_checkpoint(golden, out=supernet, space=space, classes=folder / "names.txt")
    return {"supernet": supernet, "score_on": folder / "images"}


@pytest.mark.slow
def test_each_machine_gets_what_keeps_its_own_limit(given, store, tmp_path):
    before, inside = store.read_bytes(), {}
    every = [subnet.arch for subnet in every_subnet(SPACE)]
    for machine in MACHINES:
        model = model_of(Elsewhere(machine, "fp32", 1), SPACE, store).model
        assert model.predict(every).ms == pytest.approx(
            [2 * item.ratio for item in measured(every, weights_of(machine))], rel=1e-2
        )
        most = 1.005 * sorted(model.predict(every).ms.tolist())[len(every) // 2]  # near which there is one
        inside[machine] = {arch for arch, ms in zip(every, model.predict(every).ms, strict=True) if ms <= 1.01 * most}
        out = tmp_path / machine
        found = resnas.search(**given, **SEARCH, store=store, latency_of=machine, max_latency_ms=most, out=out)
        assert found.machine == machine
        assert read_found(out).setting == model.setting
        assert found.evaluated.candidates
        assert {item.subnet.arch for item in found.evaluated.candidates} <= inside[machine]
    assert len({frozenset(archs) for archs in inside.values()}) == len(MACHINES)
    assert store.read_bytes() == before
