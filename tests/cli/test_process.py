"""The console script as a process of its own: exit codes, Ctrl-C, pipes that close, terminals that know ASCII alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.places import IMAGES

RESNAS = Path(sys.executable).with_name("resnas")
ENVIRONMENT = {**os.environ, "COLUMNS": "80"}


def run(*arguments, cwd=None, script=(RESNAS,), env=ENVIRONMENT, **options):
    return subprocess.run(
        [*script, *map(str, arguments)], cwd=cwd, env=env, capture_output=True, text=True, timeout=3000, **options
    )


def test_the_help():
    done = run("--help")
    assert done.returncode == 0
    assert "Usage: resnas [OPTIONS] COMMAND" in done.stdout
    assert done.stderr == ""


def test_as_a_module():
    done = run("--version", script=(sys.executable, "-m", "resnas_deploy"))
    assert done.returncode == 0
    assert done.stdout.startswith("resnas ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["expor"], 2),
        (["export", "--image-size"], 2),
        (["export"], 2),
        (["inspect", "nothing"], 2),
        (["verify", "."], 2),
    ],
)
def test_errors_are_one_line_and_a_code(tmp_path, arguments, code):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("resnas: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_whole_session(tiny, tmp_path, cache_home):
    """Export, verify, predict and bench as a user would, with no word on stderr."""
    image = IMAGES / "cat.jpg"
    for arguments in (
        ("export", "--arch", tiny, "--out", "out", "--json"),
        ("verify", "out", "--runner", "openvino", "--json"),
        ("predict", "out", image, "--json"),
        ("bench", "out", "--batch", "1", "--runs", "2", "--json"),
    ):
        done = run(*arguments, cwd=tmp_path, env={**ENVIRONMENT, "XDG_CACHE_HOME": str(cache_home)})
        assert (done.returncode, done.stderr) == (0, "")
        assert isinstance(json.loads(done.stdout), dict)


@pytest.mark.parametrize("seen", [".*.partial", ".*.partial/*/model.onnx", ".*.partial/*/weights.safetensors"])
def test_ctrl_c_during_an_export(tiny, tmp_path, seen):
    """One line, no traceback, and nothing left of the folder, from its first moment to verification."""
    before = sorted(tmp_path.rglob("*"))
    arguments = ("export", "--arch", tiny, "--image-size", "560", "--out", "a/out")
    with subprocess.Popen(
        [RESNAS, *arguments], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 300
        while not list((tmp_path / "a").glob(seen)):
            assert process.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, "", "resnas: interrupted\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_reader_that_goes_away():
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        for arguments in (["archs"], ["archs", "small"]):
            done = subprocess.run([RESNAS, *arguments], stdout=closed, stderr=subprocess.PIPE, timeout=3000)
            assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_behind_stdout():
    with Path("/dev/full").open("wb") as full:
        for arguments in (["archs"], ["archs", "small"], ["--version"]):
            done = subprocess.run([RESNAS, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=3000)
            assert done.returncode == 2
            assert done.stderr == b"resnas: the output cannot be read or written: No space left on device\n"


def test_a_terminal_that_can_show_ascii_alone(tiny, tmp_path):
    (tmp_path / "Käfer.json").write_bytes((tmp_path / tiny).read_bytes())
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "ascii"}
    for arguments in (["inspect", "Käfer.json"], ["inspect", "Käfer.json", "--json"], ["inspect", "Mücke"]):
        done = subprocess.run([RESNAS, *arguments], cwd=tmp_path, env=environment, capture_output=True, timeout=3000)
        assert b"Traceback" not in done.stderr
        assert b"fer.json" in done.stdout or b"cke" in done.stderr
