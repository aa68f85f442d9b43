"""Every reader, with many damaged inputs: each is read or refused in one line, soon, and within a gigabyte.

The slow test prints its table: nice python -m pytest tests/fuzz -m slow -s
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from support.input_readers import READERS
from support.places import SEARCHED, SUPPORT
from support.whole_inputs import write_seeds

SEED, MANY, FEW = 20260, 1500, 30
MOST_MB = 1000.0


@pytest.fixture(scope="session")
def seeds(tmp_path_factory, mini_artifact):
    """A folder for each kind of input, whole."""
    return write_seeds(tmp_path_factory.mktemp("seeds"), mini_artifact)


@pytest.fixture(scope="module")
def children():
    """The process whose children read what is damaged."""
    environment = os.environ | {"PYTHONPATH": SEARCHED, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(SUPPORT / "fuzz_child.py")]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.stdin.close()


def fuzzed(children, name, count, seeds, work):
    """What came of so many inputs of a reader, which must all have ended as they should."""
    children.stdin.write(json.dumps([name, count, SEED, str(seeds), str(work)]) + "\n")
    children.stdin.flush()
    code = int(children.stdout.readline())
    if code:
        at = (work / "at").read_text() if (work / "at").exists() else "the whole one"
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise AssertionError(f"{name}, input {at}: {ended}\n{(work / 'said').read_text()[-3000:]}")
    found = json.loads((work / "found").read_text())
    sys.stdout.write(
        f"\n{name:24} {found['inputs']:6} {found['refused']:8} {found['accepted']:9} {found['cpu']:9.2f} s "
        f"{found['peak_mb']:6.0f} MB ({found['before_mb']:.0f} before) {found['failures']:4} wrong\n"
    )
    assert not found["failures"], "\n".join([f"{found['failures']} inputs of {name}", *found["wrong"]])
    assert found["refused"] or name == "metrics", f"no input of {name} was refused: is it damaged at all?"
    assert found["peak_mb"] < MOST_MB
    return found


@pytest.mark.parametrize("name", READERS)
def test_some_damaged_inputs(children, seeds, tmp_path, name):
    fuzzed(children, name, FEW, seeds, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_inputs(children, seeds, tmp_path, name):
    assert fuzzed(children, name, MANY, seeds, tmp_path)["inputs"] == MANY
