"""An export that is killed, or runs out of disk, leaves no artifact or a whole one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.places import SUPPORT
from support.processes import wait_for

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.artifact.artifact import open_artifact

ARCH = ArchSpec(
    (
        Stage(64, (Block(2, 32, 256),) * 2),
        Stage(128, (Block(2, 48, 512),) * 2),
        Stage(256, (Block(4, 64, 1024),) * 2),
    )
)
KILLS = 60


class Zygote:
    def __init__(self, out: Path) -> None:
        command = [sys.executable, str(SUPPORT / "export_children.py"), json.dumps(ARCH.to_json()), str(out)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def export(
        self, seed: int, kill_after: float | None = None, kill_once: Callable[[], object] | None = None
    ) -> float:
        """Seconds that the export ran before it ended or was killed: after a time, or once a condition holds."""
        self.tell(f"{seed}\n")
        pid, started = int(self.process.stdout.readline()), time.perf_counter()
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)
        if kill_once is not None:
            while not kill_once():
                assert time.perf_counter() < started + 300, "waited in vain"
            os.kill(pid, signal.SIGKILL)
        self.tell("\n")
        assert self.process.stdout.readline() == "done\n"
        return time.perf_counter() - started

    def tell(self, line: str) -> None:
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=300)
        self.process.stdout.close()


@pytest.fixture
def zygote(tmp_path):
    started = Zygote(tmp_path / "artifact")
    yield started
    started.close()


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_kill_at_any_moment_leaves_nothing_or_a_whole_artifact(tmp_path, zygote):
    out = tmp_path / "artifact"
    duration = zygote.export(seed=0)
    seeds = {open_artifact(out).manifest.weights_sha256}
    zygote.export(seed=1)
    seeds.add(open_artifact(out).manifest.weights_sha256)
    assert len(seeds) == 2
    found, half_made = [], 0
    for number in range(KILLS):
        zygote.export(seed=number % 2, kill_after=duration * 1.1 * number / KILLS)
        found.append(open_artifact(out).manifest.weights_sha256)  # whole: every hash is checked; the old or the new one
        half_made += bool(hidden(tmp_path))
    if not half_made:  # this machine became faster or slower since the first export
        zygote.export(seed=0, kill_once=lambda: hidden(tmp_path))
        found.append(open_artifact(out).manifest.weights_sha256)
        half_made += bool(hidden(tmp_path))
    assert set(found) <= seeds
    assert half_made, "no kill came while an artifact was being written"
    assert len(hidden(tmp_path)) <= 1, "an export removes what killed ones left"
    zygote.export(seed=0)
    assert not hidden(tmp_path)


def test_kill_before_the_first_artifact_leaves_none_or_a_whole_one(tmp_path, zygote):
    out = tmp_path / "artifact"
    duration = zygote.export(seed=0)
    states = []
    for number in range(20):
        if out.exists():
            open_artifact(out)
            for file in out.iterdir():
                file.unlink()
            out.rmdir()
        zygote.export(seed=0, kill_after=duration * 1.1 * number / 20)
        states.append(out.exists())
    assert False in states, "at least the earliest kill comes before the artifact"


LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["resnas", "export", "--unverified", "--arch", sys.argv[2], "--out", sys.argv[3]]
from resnas_deploy.cli.app import main
main()
"""


@pytest.mark.parametrize("limit", [1_000, 3_000_000, 9_600_000])
def test_a_file_that_cannot_grow_is_one_line_and_leaves_nothing(tmp_path, limit):
    """The graph, then the weights, hit the limit; the model has about 9.6 MB."""
    arch, out = tmp_path / "arch.json", tmp_path / "out"
    arch.write_text(json.dumps(ARCH.to_json()))
    command = [sys.executable, "-c", LIMITED, str(limit), str(arch), str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be written" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["arch.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.parametrize("megabytes", [1, 12])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, megabytes):
    disk, arch = tmp_path / "disk", tmp_path / "arch.json"
    disk.mkdir()
    arch.write_text(json.dumps(ARCH.to_json()))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        command = [sys.executable, "-m", "resnas_deploy", "export", "--unverified", "--arch", str(arch)]
        result = subprocess.run([*command, "--out", str(disk / "out")], capture_output=True, text=True, timeout=300)
        assert result.returncode == 2, result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert "No space left on device" in result.stderr
        assert "free some space" in result.stderr
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_kill_of_the_whole_command_verification_included(tmp_path):
    """`resnas export` as it is run, killed at moments from its start to its end."""
    arch, out = tmp_path / "arch.json", tmp_path / "out"
    arch.write_text(json.dumps(ARCH.to_json()))
    command = [sys.executable, "-m", "resnas_deploy", "export", "--arch", str(arch), "--out", str(out), "--force"]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    duration = time.perf_counter() - started
    half_made = 0

    def killed(moment):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment(process)
        process.kill()
        process.wait()
        assert open_artifact(out).manifest.verification.passed
        return bool(hidden(tmp_path))

    for number in range(40):
        half_made += killed(lambda _, number=number: time.sleep(duration * (number + 1) / 40))
    if not half_made:  # this machine became faster or slower since the first export
        half_made += killed(lambda process: wait_for(lambda: hidden(tmp_path) or process.poll() is not None))
    assert half_made, "no kill came while an artifact was being written"
