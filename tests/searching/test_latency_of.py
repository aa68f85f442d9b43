"""A search by the profile of a machine that is named, whose runtime need not be installed here."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from support.checks import refusal
from support.mini_space import measured, truth
from support.small_data import SPACE
from support.small_search import write_given

import resnas_deploy as resnas
from resnas_deploy.measuring.latency.packed import pack
from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.searching.found import read_found

FEW = {"iterations": 2, "first": 6, "children": 4, "parents": 3, "finalists": 1, "tries": 1}
PI = Setting("raspberry-pi-4-cores-1a2b3c4d", "tensorrt", "tensorrt 10", "cuda:0", "fp32", 1, 4)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A supernet that knows nothing, and the data that it is for."""
    return write_given(tmp_path_factory.mktemp("latency-of"))


@pytest.fixture
def store(tmp_path):
    """A store into which the profiles of two machines were unpacked."""
    there, here = tmp_path / "device.sqlite", tmp_path / "server.sqlite"
    archs = subnets(SPACE, PROFILE, 45)
    with LatencyStore(there) as opened:
        opened.add(PI, SPACE, PROFILE, 0, measured(archs, truth(SPACE)))
        opened.add(replace(PI, batch=8), SPACE, PROFILE, 0, measured(archs, 4 * truth(SPACE)))
        opened.add(replace(PI, machine="server", batch=1), SPACE, PROFILE, 0, measured(archs, 9 * truth(SPACE)))
    pack(tmp_path / "p.json", there)
    resnas.latency.unpack(tmp_path / "p.json", store=here)
    return here


def search(given, store, out, **limits):
    return resnas.search(**given, **FEW, store=store, out=out, **limits)


def test_it_is_the_limit_of_that_machine_and_its_finalists_are_left_to_it(given, store, tmp_path, small_reference):
    found = search(given, store, tmp_path / "found", latency_of="raspberry", max_latency="80%")
    assert found.machine == PI.machine
    assert [item.measurement for item in found.finalists] == [None]
    assert read_found(tmp_path / "found").setting == PI
    (widest,) = measured([SPACE.widest().arch], truth(SPACE))
    most = max(item.costs[0] for item in found.evaluated.candidates)
    assert most <= 0.81 * 2 * widest.ratio  # of the anchor's two milliseconds, and not nine times as much


def test_a_limit_on_macs_alone_leaves_the_finalists_to_that_machine_too(given, store, tmp_path, small_reference):
    found = search(given, store, tmp_path / "found", latency_of="raspberry", max_macs="80%")
    assert found.machine == PI.machine


def test_a_throughput_is_limited_at_the_best_batch_that_was_profiled_there(given, store, tmp_path, small_reference):
    (narrowest,) = measured([SPACE.narrowest().arch], truth(SPACE))
    alone = 1 / (
        2e-3 * narrowest.ratio
    )  # images a second, batch by batch of one; eight at once take four times as long
    found = search(given, store, tmp_path / "found", latency_of="raspberry", min_throughput=f"{alone:.0f}/s")
    assert read_found(tmp_path / "found").setting == replace(PI, batch=8)
    assert found.machine == PI.machine


def test_another_version_is_noted(given, store, tmp_path, small_reference, caplog):
    with LatencyStore(store) as opened:
        measurements = measured(subnets(SPACE, PROFILE, 45), truth(SPACE))
        opened.add(replace(PI, version="tensorrt 11"), SPACE, PROFILE, 0, measurements)
    with caplog.at_level(logging.WARNING):
        search(given, store, tmp_path / "found", latency_of="raspberry", max_latency="80%")
    assert "there is one of tensorrt 10 too, which is not looked at" in caplog.text
    assert read_found(tmp_path / "found").setting.version == "tensorrt 11"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latency_of": "nano"}, "`latency_of` must be a machine that was profiled, found 'nano'; there are: raspb"),
        ({"latency_of": "raspberry", "batch": 2}, "batch 2, found tensorrt (tensorrt 10), fp32, batch 1, 4 threads"),
        ({"latency_of": "raspberry", "runner": "openvino"}, "in openvino, fp32, batch 1, found tensorrt"),
        ({"latency_of": "raspberry", "runner": "abacus"}, "`runner` must be one of"),
        ({"latency_of": "raspberry", "image_size": 32}, "must hold a profile of the space little at 32 pixels on rasp"),
        ({"latency_of": "raspberry", "max_energy": "1J"}, "`max_energy` must come without `latency_of`"),
    ],
)
def test_what_there_is_not_is_told_before_anything_is_written(given, store, tmp_path, changes, said):
    arguments = {"max_latency": "80%"} | changes
    assert said in refusal(lambda: search(given, store, tmp_path / "found", **arguments))
    assert not (tmp_path / "found").exists()
