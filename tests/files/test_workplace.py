"""Folders that are gone when their process has ended, however it ended; and those of the living, left alone."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.checks import refusal

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files import workplace
from resnas_deploy.files.atomic import atomic_file, atomic_folder
from resnas_deploy.files.renames import REPLACED
from resnas_deploy.files.workplace import LOCK, scratch_errors, scratch_folder, sweep, sweep_beside

# A process that has one of each, says so, and waits to be killed.
OWNER = """
import sys, time
from pathlib import Path
from resnas_deploy.files.atomic import atomic_file, atomic_folder
from resnas_deploy.files.workplace import scratch_folder
with (
    scratch_folder("test") as scratch,
    atomic_file(Path(sys.argv[1])) as file,
    atomic_folder(Path(sys.argv[2]), lambda _: False) as folder,
):
    for path in (scratch / "big", file, folder / "big"):
        path.write_text("half")
    print("ready", flush=True)
    time.sleep(600)
"""
SWEEPER = "from resnas_deploy.files.workplace import sweep; sweep()"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home, a folder for temporary files, and one to be in, all of this test's own."""
    for variable, name in (("HOME", "home"), ("TMPDIR", "temporary")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path
    tempfile.tempdir = None


def everything(path):
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


def owner(home, *places):
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, *map(str, places)], stdout=subprocess.PIPE, text=True, cwd=home / "here"
    )
    assert process.stdout.readline() == "ready\n"
    return process


def killed(process):
    process.kill()
    process.wait()
    process.stdout.close()


def swept(prefix=()):
    return subprocess.run([*prefix, sys.executable, "-c", SWEEPER], capture_output=True, text=True, timeout=60)


def test_a_scratch_folder_is_gone_afterwards(home):
    with scratch_folder("test") as folder:
        assert folder.parent == home / "temporary"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("text")
    assert everything(home) == ["here", "home", "temporary"]


def test_what_a_killed_process_left_goes_with_the_next_command_wherever_it_is(home):
    (home / "far").mkdir()
    process = owner(home, home / "far" / "file", "folder")
    try:
        before = everything(home)
        assert swept().returncode == 0
        assert everything(home) == before, "nothing of a living process"
    finally:
        killed(process)
    assert len(everything(home)) > 4
    done = swept()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert everything(home) == ["far", "here", "home", "home/.cache", "temporary"]


def test_a_command_sweeps_before_it_does_anything(home):
    killed(owner(home, home / "file", home / "folder"))
    done = subprocess.run([sys.executable, "-m", "resnas_deploy", "archs"], capture_output=True, timeout=60)
    assert done.returncode == 0
    assert everything(home) == ["here", "home", "home/.cache", "temporary"]


def test_a_process_in_another_container_is_alive_too(home):
    """Its number is unknown there."""
    unshare = ("unshare", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let us make another namespace of process numbers")
    process = owner(home, home / "file", home / "folder")
    try:
        before = everything(home)
        assert swept(unshare).returncode == 0
        assert everything(home) == before
    finally:
        killed(process)
    assert swept(unshare).returncode == 0
    assert everything(home) == ["here", "home", "home/.cache", "temporary"]


def test_names_of_others_are_left_alone(home):
    for folder in (home / "temporary", home / "here"):
        for name in ("resnas-mine", "resnas-test-0123456789abcdef", ".x.0123456789abcdef.partial", ".x.partial"):
            (folder / name).mkdir()
            (folder / name / "precious").write_text("text")
    (home / "temporary" / "resnas-link-0123456789abcdef").symlink_to(home / "here")
    (home / "here" / ".y.0123456789abcdef.partial").write_text("precious")
    before = everything(home)
    sweep()
    assert everything(home) == before


def test_where_there_are_no_locks_nothing_that_may_be_alive_is_removed(home, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    with scratch_folder("test") as folder, atomic_file(home / "it") as file:
        file.write_text("text")
        sweep()
        sweep_beside(home / "it")
        assert folder.exists()
        monkeypatch.undo()  # such as another machine, which has them
        monkeypatch.chdir(home / "here")
        sweep_beside(home / "it")
        assert folder.exists()
        assert file.exists()
    assert (home / "it").read_text() == "text"


def test_a_workplace_that_is_taken_for_a_leftover_is_made_again(home, monkeypatch):
    """Another process sweeps between the making of a folder and its lock."""
    hold, calls = workplace._hold, []

    def disturbed(folder, stack):
        calls.append(folder)
        if len(calls) == 1:
            folder.rmdir()
        return hold(folder, stack)

    monkeypatch.setattr(workplace, "_hold", disturbed)
    with scratch_folder("test") as folder:
        assert len(calls) == 2
        assert folder == calls[1]
        assert folder.exists()


def test_what_was_being_replaced_by_a_killed_process_is_there_again(home):
    """On a disk that cannot exchange two folders."""
    kept = home / ".it.0123456789abcdef.partial" / f"{REPLACED}01234567" / "it"
    kept.mkdir(parents=True)
    (kept / "old").write_text("text")
    (kept.parents[1] / LOCK).touch()
    sweep_beside(home / "it")
    assert (home / "it" / "old").read_text() == "text"
    assert not kept.parents[1].exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_next_writer_of_a_name_removes_what_is_left_of_it(home, number, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/none")  # so that nothing is noted
    process = owner(home, home / "file", home / "folder")
    process.send_signal(number)
    process.wait(timeout=60)
    process.stdout.close()
    with atomic_folder(home / "folder", lambda _: False) as folder:
        (folder / "new").write_text("text")
    with atomic_file(home / "file") as file:
        file.write_text("text")
    left = [name for name in everything(home) if "partial" in name]
    assert left == []


def test_no_folder_for_temporary_files_is_said_so(home, monkeypatch):
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/a", "/proc/b"])
    line = refusal(lambda: scratch_folder("test").__enter__(), StorageError)
    assert line == (
        "there must be a folder for temporary files that can be written, found none in /proc/a, /proc/b; "
        "free some space, or set TMPDIR to another folder"
    )


def mounted(path, size):
    """A small disk, or a reason to skip."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True)
    if done.returncode:
        pytest.skip("this machine does not let us mount a small disk")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("cut short")])
def test_a_full_folder_for_temporary_files_is_named_whatever_comes_of_it(home, error):
    mounted(home / "temporary", "2m")

    def work():
        with scratch_folder("test") as folder:
            (folder / "big").write_bytes(bytes(3 * 2**19))
            raise error

    try:
        line = refusal(work, StorageError)
        assert line == (
            f"the folder for temporary files, {home / 'temporary'}, cannot be written: No space left on device; "
            "free some space there, or set TMPDIR to another folder"
        )
        assert everything(home / "temporary") == []
    finally:
        subprocess.run(["umount", str(home / "temporary")], check=True)


def test_what_is_wrong_elsewhere_is_not_blamed_on_it(home):
    with pytest.raises(OSError, match="elsewhere"), scratch_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "elsewhere")
    with pytest.raises(BadInput, match="mine"), scratch_errors():
        raise BadInput("mine")


def test_nothing_here_is_in_the_way_of_a_command(home, monkeypatch):
    """A folder that is gone, a home that is a file, notes that are none."""
    (home / "home" / ".cache").write_text("a file")
    sweep()
    (home / "home" / ".cache").unlink()
    notes = home / "home" / ".cache" / "resnas" / "unfinished"
    notes.mkdir(parents=True)
    (notes / "0123456789abcdef").write_bytes(b"\xff" * 100_000)
    (notes / "0123456789abcde0").write_text("relative/.x.0123456789abcdef.partial")
    sweep()
    shutil.rmtree(home / "here")
    sweep()
    assert not notes.exists() or list(notes.iterdir())
    with scratch_folder("test") as folder:
        assert Path(folder).is_absolute()
