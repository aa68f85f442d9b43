"""Locks last as long as whoever took them, and where there are none, nobody is told that they are free."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys

import pytest
from support.checks import refusal

from resnas_deploy.files.locks import Lock, ask, holding
from resnas_deploy.files.outputs import claiming
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.system.linux import open_for_locking

OWNER = """
import sys, time
from pathlib import Path
from resnas_deploy.files.outputs import claiming
with claiming(Path(sys.argv[1]), resume=True, remedy=""):
    print("ready", flush=True)
    time.sleep(600)
"""
TAKEN = "give --resume"


@pytest.fixture(params=[errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL])
def lockless(request, monkeypatch):
    """A file system without locks, or one that wants another descriptor for them."""

    def flock(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr("fcntl.flock", flock)


def test_a_run_has_its_folder_for_itself_until_it_is_killed(tmp_path):
    out = tmp_path / "deep" / "run"
    with subprocess.Popen([sys.executable, "-c", OWNER, str(out)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            line = refusal(lambda: claiming(out, resume=True, remedy=TAKEN).__enter__())
            assert "of one run at a time" in line
        finally:
            process.kill()
    with claiming(out, resume=True, remedy=TAKEN):
        pass
    assert list(out.iterdir()) == []


def test_a_run_does_not_write_over_another_ones_files(tmp_path):
    (tmp_path / "theirs").write_text("precious")
    assert refusal(lambda: claiming(tmp_path, resume=False, remedy=TAKEN).__enter__()).endswith(f"exists; {TAKEN}")
    with claiming(tmp_path, resume=True, remedy=TAKEN):
        pass
    assert "must be a folder, found a file" in refusal(
        lambda: claiming(tmp_path / "theirs", resume=True, remedy=TAKEN).__enter__()
    )
    assert "/proc/run cannot be written" in refusal(
        lambda: claiming(tmp_path.__class__("/proc/run"), resume=False, remedy=TAKEN).__enter__()
    )


def test_without_locks_work_goes_on(tmp_path, lockless):
    with holding(tmp_path), claiming(tmp_path / "run", resume=False, remedy=TAKEN):
        descriptor = open_for_locking(tmp_path)
        try:
            assert ask(descriptor) is Lock.UNKNOWN
        finally:
            os.close(descriptor)
    with LatencyStore(tmp_path / "s.sqlite") as store, store.measuring():
        pass


def test_a_lock_is_asked_of_a_descriptor_that_can_write(tmp_path):
    """As NFS wants it."""
    (tmp_path / "file").touch()
    descriptor = open_for_locking(tmp_path / "file")
    try:
        assert fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        assert ask(descriptor) is Lock.OURS
        other = open_for_locking(tmp_path / "file")
        assert ask(other) is Lock.TAKEN
        os.close(other)
    finally:
        os.close(descriptor)


def test_a_file_beside_a_store_is_not_emptied(tmp_path):
    (tmp_path / "poetry.lock").write_text("precious")
    with LatencyStore(tmp_path / "poetry") as store, store.measuring():
        pass
    assert (tmp_path / "poetry.lock").read_text() == "precious"


def test_a_store_without_hard_links(tmp_path, monkeypatch):
    def link(*_, **__):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("os.link", link)
    with LatencyStore(tmp_path / "s.sqlite"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["s.sqlite"]
