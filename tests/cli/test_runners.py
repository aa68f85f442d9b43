from __future__ import annotations

import importlib.util

from resnas_deploy.measuring.machine.description import instructions_here
from resnas_deploy.measuring.machine.instructions import in_words
from resnas_deploy.runners import devices as cuda
from resnas_deploy.runners.registry import RUNNERS


def test_the_table(resnas):
    lines = resnas("runners").out.splitlines()
    assert lines[0] == f"Runners, on a CPU with {in_words(instructions_here())}"
    assert [line.split()[0] for line in lines[2:]] == list(RUNNERS)


def test_what_is_missing_comes_with_the_command_that_installs_it(resnas, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    lines = resnas("runners").out.splitlines()[2:]
    assert len(lines) == len(RUNNERS)  # no line is broken
    for line, kind in zip(lines, RUNNERS.values(), strict=True):
        assert f" no    the package {kind.module} is not installed: {kind.install}" in line


def test_where_there_is_no_gpu(resnas, monkeypatch):
    monkeypatch.setattr(cuda, "gpus", lambda: ())
    lines = {line.split()[0]: line.rstrip() for line in resnas("runners").out.splitlines()[2:]}
    assert lines["torch"].endswith(" cpu   cuda: no NVIDIA GPU was found here")  # nothing to install
    assert " no    no NVIDIA GPU was found here" in lines["ort-cuda"]
    assert lines["ort-cpu"].endswith(" cpu")


def test_json(resnas):
    found = {entry["name"]: entry for entry in resnas("runners", "--json").json}
    assert list(found) == list(RUNNERS)
    for name, entry in found.items():
        kind = RUNNERS[name]
        problem = kind.problem()
        assert (entry["available"], entry["problem"]) == (problem is None, problem)
        assert (entry["install"], entry["runs_graph"]) == (kind.install, kind.runs_graph)
        assert set(entry["precisions"]) == set(kind.precisions)
        assert [device["device"] for device in entry["devices"]] == list(kind.devices)
        for device in entry["devices"]:
            problem = kind.problem(device["device"])
            assert (device["available"], device["problem"]) == (problem is None, problem)
            assert device.get("instructions") == (instructions_here() if device["device"] == "cpu" else None)
