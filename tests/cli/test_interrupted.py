"""Ctrl-C while something is measured: what there is by then is saved, and one line says what happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from resnas_deploy.measuring.report import read_report
from resnas_deploy.measuring.timing import WarmUp

# The command line, which writes the file `measuring` once it has done more rounds than any warm-up has.
SCRIPT = f"""
from pathlib import Path
from resnas_deploy.measuring import timing
from resnas_deploy.cli.app import main

rounds, done = timing._round, []

def counted(*arguments):
    rounds(*arguments)
    done.append(1)
    if len(done) == {WarmUp().most + 3}:
        Path("measuring").touch()

timing._round = counted
main()
"""
LONG = ("--batch", "1", "--runs", "100000", "--openings", "2")


@pytest.fixture
def interrupted(tmp_path, cache_home):
    """A function: stdout of a command that Ctrl-C ended amid its samples, after the checks that hold for all."""

    def run(*arguments):
        environment = {**os.environ, "COLUMNS": "80", "XDG_CACHE_HOME": str(cache_home)}
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            deadline = time.monotonic() + 300
            while not (tmp_path / "measuring").exists():
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            try:
                out, err = process.communicate(timeout=300)
            finally:
                process.kill()
        (tmp_path / "measuring").unlink()
        assert "Traceback" not in out + err
        assert err.splitlines()[-1] == "resnas: interrupted"
        assert process.returncode == 130
        return out

    return run


def test_bench_saves_what_was_measured(interrupted, tmp_path, mini_artifact):
    out = interrupted("bench", mini_artifact, *LONG, "--out", "a.json")
    found = read_report(tmp_path / "a.json")
    assert found.interrupted
    assert 1 <= len(found.measurements[0].samples_s[0]) < 50_000
    assert found.measurements[0].figures.p50_ms > 0
    assert "written: a.json" in out
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_compare_says_what_it_knows_by_then(interrupted, mini_artifact):
    found = json.loads(interrupted("compare", mini_artifact, mini_artifact, *LONG, "--json"))
    assert found["measured"]["interrupted"]
    assert len(found["comparisons"]) == 1
