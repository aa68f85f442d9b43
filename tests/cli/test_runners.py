from __future__ import annotations

import importlib.util

from resnas_deploy.runners.registry import RUNNERS


def test_the_table(resnas):
    lines = resnas("runners").out.splitlines()
    assert lines[0] == "Runners"
    assert [line.split()[0] for line in lines[2:]] == list(RUNNERS)


def test_what_is_missing_comes_with_the_command_that_installs_it(resnas, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    lines = resnas("runners").out.splitlines()[2:]
    assert len(lines) == len(RUNNERS)  # no line is broken
    for line, kind in zip(lines, RUNNERS.values(), strict=True):
        assert f" no    the package {kind.module} is not installed: {kind.install}" in line


def test_json(resnas):
    found = {entry["name"]: entry for entry in resnas("runners", "--json").json}
    assert list(found) == list(RUNNERS)
    for name, entry in found.items():
        problem = RUNNERS[name].problem()
        assert (entry["available"], entry["problem"]) == (problem is None, problem)
        assert entry["install"] == RUNNERS[name].install
        assert set(entry["precisions"]) == set(RUNNERS[name].precisions)
