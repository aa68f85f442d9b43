"""The machine's identity: what it is read from, its name for files, and strict JSON."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from support.checks import refusal

from resnas_deploy.files import records
from resnas_deploy.measuring.machine.description import Machine, this_machine

XEON = "Intel(R) Xeon(R) Platinum 8480C @ 2.00GHz (cpu family 6, model 143, stepping 8)"
PLAIN = Machine(XEON, 16, "Linux x86_64", "3.11.2")
WITH_GPUS = replace(PLAIN, gpus=("NVIDIA L4", "NVIDIA L4"), driver="560.35.03")


def here(tmp_path, *, cpuinfo="", driver=(), gpus=()):
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo)
    return this_machine(3, path, driver, lambda: gpus)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("535.54.03\n", "535.54.03"),
        ("550.90\n", "550.90"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build  (a@b)\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
            "560.35.03",
        ),
        ("no number\n", ""),
    ],
)
def test_the_driver_is_the_kernel_modules(tmp_path, text, version):
    path = tmp_path / "version"
    path.write_text(text)
    assert here(tmp_path, driver=(tmp_path / "hidden", path)).driver == version


def test_the_gpus_are_those_that_cuda_shows(tmp_path):
    found = here(tmp_path, cpuinfo="model name : A CPU\n", gpus=("NVIDIA L4",))
    assert (found.cpu, found.cores, found.gpus, found.driver) == ("A CPU", 3, ("NVIDIA L4",), "")


@pytest.mark.parametrize("machine", [PLAIN, WITH_GPUS])
def test_json_and_back(machine):
    assert records.from_json(Machine, json.loads(json.dumps(machine.to_json())), "machine") == machine


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cores": "16"}, "machine.cores must be an integer, found '16'"),
        ({"cores": True}, "machine.cores must be an integer, found True"),
        ({"cpu": None}, "machine.cpu must be there"),
        ({"gpus": "NVIDIA L4"}, "machine.gpus must be a list"),
        ({"gpus": ["NVIDIA L4", 2]}, "machine.gpus[1] must be a text, found 2"),
        ({"bogomips": 4600}, "unknown field 'bogomips'; known are cpu, cores,"),
    ],
)
def test_a_wrong_field_is_named(change, words):
    assert words in refusal(lambda: records.from_json(Machine, PLAIN.to_json() | change, "machine"))


@pytest.mark.parametrize("data", [None, [], "text", 3])
def test_no_object(data):
    assert "machine must be a JSON object" in refusal(lambda: records.from_json(Machine, data, "machine"))


def test_a_name_for_files():
    assert re.fullmatch(r"intel-xeon-platinum-8480c-16-cores-[0-9a-f]{8}", PLAIN.slug)
    assert re.fullmatch(r"intel-xeon-platinum-8480c-16-cores-2x-nvidia-l4-[0-9a-f]{8}", WITH_GPUS.slug)
    hidden = replace(PLAIN, cpu="Intel(R) Xeon(R) Processor (cpu family 6, model 207, stepping 2)", cores=2)
    assert re.fullmatch(r"intel-xeon-2-cores-[0-9a-f]{8}", hidden.slug)
    odd = replace(PLAIN, cpu="../../\n" + "AMD EPYC 9B14 " * 40)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,100}", odd.slug)


def test_the_name_is_stable_and_changes_with_every_field():
    assert replace(WITH_GPUS).slug == WITH_GPUS.slug
    assert PLAIN.slug.endswith("ca6bfa76")  # as written into the names of files that must be found again
    changes = ({"cpu": "B"}, {"cores": 8}, {"system": "Linux aarch64"}, {"python": "3.12.1"}, {"gpus": ()})
    changed = [replace(WITH_GPUS, **change) for change in (*changes, {"driver": "560.35.04"})]
    assert len({WITH_GPUS.slug, *(machine.slug for machine in changed)}) == 7


def test_differences_in_words():
    assert WITH_GPUS.differences(WITH_GPUS) == []
    assert PLAIN.differences(replace(WITH_GPUS, cores=8)) == [
        "cores: 8 there, 16 here",
        "gpus: NVIDIA L4, NVIDIA L4 there, none here",
        "driver: 560.35.03 there, none here",
    ]
