"""Commands in a process that looks like one of Windows or macOS (`support/other_systems`), on a real network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.places import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a system that looks like another one is Linux"),
]
WORK = (
    ["demo"],
    ["export", "--checkpoint", "demo/checkpoint.safetensors", "--out", "clothes"],
    ["inspect", "clothes"],
    ["inspect", "clothes/model.onnx"],
    ["verify", "clothes"],
    ["predict", "clothes", "demo/pictures"],
    ["bench", "clothes", "--batch", "1", "--runs", "3", "--openings", "1", "--out", "bench.json"],
    ["export", "--checkpoint", "demo/checkpoint.safetensors", "--out", "clothes", "--force"],
)
REFUSED = (["triton", "serve", "clothes"], ["gpu-report", "--out", "report", "--device", "cpu"])


def run(system, folder, *commands):
    """What the commands print, and their exit codes, in a process of that system with text in a code page."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "LOCALAPPDATA": str(folder / "local"),
        "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}",
        "PYTHONIOENCODING": "cp1252" if system == "windows" else "utf-8",
        "OMP_NUM_THREADS": "1",
    }
    program = ("-X", "warn_default_encoding", "-m", "support.other_systems.commands")
    done = subprocess.run(
        [sys.executable, *program, system, json.dumps(commands)],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=300,
    )
    out, error = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in error, error
    *lines, last = out.splitlines()
    return json.loads(last), "\n".join(lines), error


@pytest.mark.parametrize(("system", "name"), [("windows", "Windows"), ("macos", "macOS")])
def test_export_inspect_verify_predict_and_bench(tmp_path, system, name):
    found, out, error = run(system, tmp_path, *WORK, *REFUSED)
    assert found["system"] == name
    assert found["codes"] == [0] * len(WORK) + [5] * len(REFUSED), error
    assert out.count("verified: error") >= 2
    assert "ankle boot" in out
    assert json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))["measurements"]
    for what in ("a Triton server", "a report of a GPU"):
        assert f"resnas: {what} needs Linux, found {name}; use a machine or a container of Linux" in error
    names = {path.name for path in tmp_path.iterdir()} - {"home", "local"}
    assert names == {"demo", "clothes", "bench.json"}  # nothing half made is left
    assert b"\r" not in (tmp_path / "clothes" / "manifest.json").read_bytes()


def test_a_name_that_windows_does_not_have_is_refused_before_the_work(tmp_path):
    found, _, error = run("windows", tmp_path, ["export", "--arch", "small", "--out", "CON"])
    assert found["codes"] == [2]
    assert "CON cannot be written: 'CON' is the name of a device of Windows; choose another name" in error
