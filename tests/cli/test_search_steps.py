"""`resnas search` for another machine, `resnas search measure` there, and `resnas search finish`, as users run them."""

from __future__ import annotations

import shutil

import pytest
from support.checks import check_schema
from support.mini_space import measured, truth
from support.other_machine import machine, on_machine
from support.small_data import SPACE
from support.small_search import write_given

from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import LatencyStore

DEVICE = "Raspberry Pi"
FEW = ("--iterations", 1, "--first", 4, "--children", 2, "--parents", 2, "--finalists", 1, "--tries", 2)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A supernet, its data, and a store with the profile of the device, by which everything takes long there."""
    folder = tmp_path_factory.mktemp("given")
    write_given(folder)
    setting = choose_setup("ort-cpu", "fp32", 1, 1, "").setting(machine(DEVICE).slug)
    with LatencyStore(folder / "latency.sqlite") as store:
        store.add(setting, SPACE, PROFILE, 0, measured(subnets(SPACE, PROFILE, 60), 1000 * truth(SPACE)))
    return folder


@pytest.mark.slow
def test_from_another_machines_profile_to_a_winner(resnas, given, tmp_path):
    found, there = tmp_path / "found", tmp_path / "there"
    options = ("--data", given / "data", "--max-latency", "90%", "--latency-of", "rasp", *FEW)
    done = resnas(
        "search", "--supernet", given / "supernet.safetensors", *options, "--store", given / "latency.sqlite",
        "--out", found,
    )  # fmt: skip
    assert "not measured" in done.out
    *_, written, first, second = done.out.splitlines()
    assert written == f"written: {found}/found.json, front.png, report.html, and 2 networks in finalists/"
    assert first == f"next, with a copy of {found} on {machine(DEVICE).slug}: resnas search measure {found}"
    assert second.endswith(f"resnas search finish {found}")

    shutil.copytree(found, there)
    answer = on_machine(DEVICE, "search", "measure", there)
    assert answer.returncode == 0, answer.stderr
    assert f"next, where the search ran: resnas search finish {there}" in answer.stdout

    document = resnas("search", "finish", found, "--measured", there / "measured.json", "--json").json
    check_schema("search", document)
    assert (document["measured"], document["keeping_limits"], document["machine"]) == (1, 1, machine(DEVICE).slug)
    text = resnas("search", "finish", found).out
    assert "1 of the 1 finalists that were measured keep p50 of at most " in text
    assert f"next: resnas train subnet --arch {found}/arch.json" in text

    again = resnas(
        "search", "--supernet", given / "supernet.safetensors", *options, "--store", given / "latency.sqlite",
        "--out", found, "--resume",
    ).out  # fmt: skip
    assert f"next: resnas train subnet --arch {found}/arch.json" in again, "what was measured there still counts"

    error = resnas("search", "measure", found, code=2).err
    assert f"not {machine(DEVICE).slug}; measure where the profile was made" in error


def test_what_is_no_search_is_told(resnas, tmp_path):
    for step in ("measure", "finish"):
        error = resnas("search", step, tmp_path, code=2).err
        assert error == (
            f"resnas: {tmp_path} must be the folder of a search that has finalists, found no found.json there; "
            "name the --out of resnas search\n"
        )
    assert "--on must be ray:RESOURCE" in resnas("search", "measure", tmp_path, "--on", "pi", code=2).err
