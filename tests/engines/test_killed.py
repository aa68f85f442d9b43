"""`kill -9` and Ctrl-C, of real builds: nothing half-made is left, no process lives on, and the next build works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.little_engine import built, needs_builder
from support.processes import is_worker, processes, wait_for, worker_of

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.store import open_engine

pytestmark = needs_builder


@contextmanager
def building(artifact, temporary, *options):
    """`resnas build` in a process of its own, whose temporary files are in `temporary`."""
    temporary.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "resnas_deploy", "build", str(artifact.folder), *options],
        env={**os.environ, "TMPDIR": str(temporary), "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def has_logged(worker):
    """Whether the builder has written into its log, a file without a name whose number is the last argument."""
    try:
        *_, number, _ = Path(f"/proc/{worker}/cmdline").read_text().split("\0")
        return number.isdigit() and Path(f"/proc/{worker}/fd/{number}").stat().st_size
    except (OSError, ValueError):
        return False  # it ended meanwhile


@contextmanager
def amid(artifact, temporary):
    """The same once its worker is at work, and the worker's number."""
    with building(artifact, temporary) as process:
        worker = worker_of(process.pid)
        wait_for(lambda: has_logged(worker))
        assert worker in processes(), "it was done too soon"
        yield process, worker


def left(artifact):
    """Names in the folder of engines."""
    return sorted(path.name for path in (artifact.folder / "engines").iterdir())


def assert_builds(artifact):
    found = built(open_artifact(artifact.folder))
    assert not found.cached
    open_engine(found.engine.path)
    assert left(artifact) == sorted([found.engine.path.name, f"{found.engine.path.stem}.json"])


def test_a_killed_worker_is_one_line(artifact, tmp_path):
    with amid(artifact, tmp_path / "tmp") as (process, worker):
        os.kill(worker, signal.SIGKILL)
        out, err = process.communicate(timeout=30)
    log = tmp_path / "little.build.log"
    assert process.returncode == 2
    assert out == ""
    assert err == (f"resnas: the engine could not be built: the builder was ended by SIGKILL (the whole log: {log})\n")
    assert log.exists()
    assert left(artifact) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert_builds(artifact)


def test_a_killed_command_takes_its_worker_along(artifact, tmp_path):
    with amid(artifact, tmp_path / "tmp") as (process, worker):
        process.kill()
        process.wait(timeout=30)
        wait_for(lambda: worker not in processes())
    assert list((tmp_path / "tmp").iterdir()) == []
    (partial,) = left(artifact)
    assert partial.startswith(".")
    assert partial.endswith(".partial")
    assert_builds(artifact)  # which removes that


@pytest.mark.slow
def test_ctrl_c_ends_everything(artifact, tmp_path):
    with amid(artifact, tmp_path / "tmp") as (process, worker):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert worker not in processes()
    assert process.returncode == 130
    assert out == ""
    assert err == "resnas: interrupted\n"
    assert left(artifact) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert_builds(artifact)


@pytest.mark.slow
def test_two_builds_at_once_make_one_engine(artifact, tmp_path):
    with building(artifact, tmp_path / "a", "--json") as one, building(artifact, tmp_path / "b", "--json") as other:
        answers = [process.communicate(timeout=60) for process in (one, other)]
    assert all("marked UNVERIFIED" in err and len(err.splitlines()) == 1 for _, err in answers)
    found = [json.loads(out) for out, _ in answers]
    assert sorted(each["cached"] for each in found) == [False, True]
    assert found[0]["engine"] == found[1]["engine"]
    assert len(left(artifact)) == 2
    assert built(artifact).cached


def test_a_build_waits_for_another_and_ctrl_c_ends_the_waiting(artifact, tmp_path):
    with amid(artifact, tmp_path / "a") as (_, worker), building(artifact, tmp_path / "b") as waiting:
        os.kill(worker, signal.SIGSTOP)  # the first takes as long as we like
        try:
            holder = str((artifact.folder / "engines").stat().st_ino)
            wait_for(lambda: waits_for_lock(waiting.pid, holder))
            waiting.send_signal(signal.SIGINT)
            out, err = waiting.communicate(timeout=30)
        finally:
            os.kill(worker, signal.SIGCONT)
    assert (waiting.returncode, out, err) == (130, "", "resnas: interrupted\n")


def waits_for_lock(number, inode):
    """Whether a process waits for a lock on the file with that inode."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f" {number} " in line and line.split()[-3].endswith(f":{inode}") for line in lines)


def at_work(process, _artifact):
    """Its worker has begun to build."""
    workers = [number for number, (parent, words) in processes().items() if parent == process.pid and is_worker(words)]
    return any(has_logged(worker) for worker in workers)


STAGES = {
    "the folder of engines": lambda _, artifact: (artifact.folder / "engines").exists(),
    "the worker": lambda process, _: any(parent == process.pid for parent, _ in processes().values()),
    "the worker's log": at_work,
    "a first file": lambda _, artifact: any((artifact.folder / "engines").glob(".*.partial")),
    "the engine": lambda _, artifact: any((artifact.folder / "engines").glob("*.engine")),
}


def whole_engines(artifact):
    """How many there are; they are removed, so that the next command builds again."""
    found = 0
    for path in (artifact.folder / "engines").glob("*.json"):
        open_engine(path.with_suffix(".engine"))
        path.unlink()
        found += 1
    return found


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_kills_at_every_stage(artifact, tmp_path, stage):
    """Nothing or a whole engine, whichever stage was seen."""
    with building(artifact, tmp_path / "tmp") as process:
        wait_for(lambda: process.poll() is not None or STAGES[stage](process, artifact))
        process.kill()
    assert process.returncode in (-signal.SIGKILL, 0)  # 0: on a busy machine it may end as soon as its engine is there
    assert whole_engines(artifact) <= 1
    assert_builds(artifact)


@pytest.mark.slow
def test_kills_at_any_moment(artifact, tmp_path):
    """Nothing or a whole engine, at every moment from the start of the command to its end."""

    def run(seconds=None):
        """Whether the command made an engine, alone or killed after that time."""
        with building(artifact, tmp_path / "tmp") as process:
            try:
                process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
        return whole_engines(artifact)

    started = time.monotonic()
    assert run()
    whole = time.monotonic() - started
    found = [run(whole * number / 16) for number in range(18)]
    assert found[0] == 0
    assert run()
    assert_builds(artifact)
