"""The reference computed in a process beside: the same numbers, nothing left of it, and no export that hangs on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from support.processes import is_alive, wait_for
from support.small_export import SMALL

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.exporting.reference import on_torch, reference_logits
from resnas_deploy.exporting.reference_process import ReferenceProcess, ahead, started
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.weights.checkpoint import save, untrained

CHILD = b"resnas_deploy.exporting.reference_child"
# The command, in a process that says at its end whether it has imported PyTorch; first a line of the test's.
COMMAND = """
import atexit, sys
from resnas_deploy.exporting import reference_process
{first}
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
sys.argv = ["resnas", "export", "--arch", *sys.argv[1:]]
from resnas_deploy.cli.app import main
main()
"""


@pytest.fixture
def arch(tmp_path):
    """The file of a small architecture."""
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(SMALL.to_json()))
    return path


def export(arch, out, first="", *options):
    command = [sys.executable, "-c", COMMAND.format(first=first), str(arch), "--out", str(out), "--threads", "2"]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=300)


def children(parent):
    """The processes of a parent that compute references."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, IndexError):
            status = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdecimal() else []
            if status and status[0] != "Z" and CHILD in (entry / "cmdline").read_bytes():
                found += [int(entry.name)] * (parent in (None, int(status[1])))
    return found


def test_the_command_imports_no_pytorch_and_writes_what_it_wrote_with_it(arch, tmp_path):
    """The import takes a third of an export. In the second run it cannot be had elsewhere."""
    fails = "reference_process._PROGRAM = 'raise SystemExit(1)'"
    here = "import torch"
    ran = [export(arch, tmp_path / f"out{number}", first) for number, first in enumerate(("", fails, here))]
    assert [each.stderr for each in ran] == ["False\n", "True\n", "True\n"]
    assert {each.returncode for each in ran} == {0}
    manifests = [(tmp_path / f"out{number}" / "manifest.json").read_bytes() for number in range(3)]
    assert manifests[0] == manifests[1] == manifests[2]
    assert open_artifact(tmp_path / "out0").manifest.verification.passed


def test_it_gives_the_modules_logits_bit_by_bit(tmp_path):
    checkpoint = untrained(SMALL)
    save(checkpoint, tmp_path / "w.safetensors")
    images = verification_inputs(checkpoint.preprocessing).images
    found = ReferenceProcess().logits(tmp_path / "w.safetensors", images, 2)
    with on_torch(2):
        assert (found == reference_logits(checkpoint, images)).all()


@pytest.mark.parametrize("change", ["killed", "no weights"])
def test_where_it_fails_there_are_no_logits_and_nothing_is_left(tmp_path, change):
    process = ReferenceProcess()
    (number,) = children(os.getpid())
    if change == "killed":
        os.kill(number, signal.SIGKILL)
    images = verification_inputs(untrained(SMALL).preprocessing).images
    assert process.logits(tmp_path / "none.safetensors", images, 1) is None
    assert children(os.getpid()) == []


def test_none_is_started_where_pytorch_is_here_already():
    assert "torch" in sys.modules
    with ahead(wanted=True), started() as process:
        assert process is None


AHEAD = """
import os, sys
from resnas_deploy.exporting.reference_process import ahead, started
with ahead(wanted=True):
    with started() as first:
        print(first is not None, flush=True)
    with started() as second:
        print(second is not first, flush=True)
with ahead(wanted=False), ahead(wanted=True):
    print("waiting", flush=True)
    sys.stdin.readline()
print("end", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["of the block", "by SIGKILL"])
def test_what_was_started_ahead_and_not_needed_ends(end):
    with subprocess.Popen([sys.executable, "-c", AHEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == process.stdout.readline() == b"True\n"
        assert process.stdout.readline() == b"waiting\n"
        (number,) = children(process.pid)
        if end == "by SIGKILL":
            process.kill()
        else:
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"end\n"
            assert children(process.pid) == []
        process.stdin.close()
    wait_for(lambda: number not in children(None))


@pytest.mark.parametrize("options", [["--unverified"], ["--precision", "int8", "--unverified"]])
def test_none_is_started_where_nothing_is_verified(arch, tmp_path, options):
    done = export(arch, tmp_path / "out", "reference_process.ReferenceProcess = None", *options)  # not to be called
    assert (done.returncode, done.stderr) == (0, "False\n")


TELLING = """
made = reference_process.ReferenceProcess.__init__
def telling(self):
    made(self)
    print(self._process.pid, file=sys.stderr)
reference_process.ReferenceProcess.__init__ = telling
"""


def test_a_refused_export_leaves_no_process(tmp_path):
    done = export(tmp_path / "none.json", tmp_path / "out", TELLING)
    assert done.returncode == 2
    number, said, imported = done.stderr.splitlines()
    assert "none.json" in said
    assert imported == "False"
    assert not is_alive(int(number))
