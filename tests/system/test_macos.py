"""The module of macOS, held to doubles of what Apple's manual pages say of it."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import sys
from pathlib import Path

import pytest

pytest.importorskip("fcntl")  # the doubles are made of what Linux has

from support.other_systems import macos as double

from resnas_deploy.measuring.machine.instructions import instruction_set
from resnas_deploy.system import macos

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the double is made of what Linux has")


fcntl = pytest.importorskip("fcntl")


@pytest.fixture(autouse=True)
def libc(monkeypatch):
    real = ctypes.CDLL
    monkeypatch.setattr(ctypes, "CDLL", lambda name, **options: double.Libc(real(name, **options)))


def test_renames_replace_nothing_and_exchange(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old", encoding="utf-8")
    macos.rename(old, new)
    old.mkdir()
    with pytest.raises(FileExistsError):
        macos.rename(old, new)
    macos.rename(old, new, exchange=True)
    assert old.read_text(encoding="utf-8") == "old"
    assert new.is_dir()
    with pytest.raises(FileNotFoundError):
        macos.rename(tmp_path / "nothing", new)


def test_a_system_without_such_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(double.Libc, "hidden", {"renamex_np"})
    with pytest.raises(OSError, match="not implemented") as refused:
        macos.rename(tmp_path, tmp_path / "new")
    assert refused.value.errno == errno.ENOSYS


@pytest.mark.parametrize("code", [0, errno.ENOTSUP, errno.EIO])
def test_a_flush_goes_through_the_drives_cache_where_that_can_be(tmp_path, monkeypatch, code):
    asked, flushed = [], []

    def control(descriptor, command, argument=0):
        asked.append(command)
        if code:
            raise OSError(code, os.strerror(code))
        return 0

    monkeypatch.setattr(fcntl, "fcntl", control)
    monkeypatch.setattr("os.fsync", flushed.append)
    descriptor = macos.open_to_flush(tmp_path)
    try:
        if code == errno.EIO:
            with pytest.raises(OSError, match="Input/output"):
                macos.flush(descriptor)
        else:
            macos.flush(descriptor)
    finally:
        os.close(descriptor)
    assert asked == [double.FULLFSYNC]
    assert len(flushed) == (code == errno.ENOTSUP)


@pytest.mark.parametrize(
    ("told", "name", "instructions"),
    [
        (double.M1, "model name: Apple M1", "ASIMDDP, ASIMD"),
        (double.INTEL, "model name: Intel(R) Core(TM) i7-1068NG7 CPU @ 2.30GHz", "AVX512-VNNI"),
        ("", None, "unknown"),
    ],
)
def test_the_processor(monkeypatch, told, name, instructions):
    monkeypatch.setattr(macos, "_told", lambda *command: told)
    text = macos.processor_text()
    assert next(iter(text.splitlines()), None) == name
    assert instruction_set(text) == instructions
    if told == double.INTEL:
        assert text.splitlines()[1:4] == ["cpu family: 6", "model: 126", "stepping: 5"]


@pytest.mark.parametrize(("told", "free"), [(double.VM_STAT, 16384 * 305_000), ("", None), ("no such thing", None)])
def test_free_memory(monkeypatch, told, free):
    monkeypatch.setattr(macos, "_told", lambda *command: told)
    assert macos.free_memory() == free


def test_a_program_of_the_system_that_is_not_there_tells_nothing():
    assert macos._told("/usr/sbin/nothing-of-that-name") == ""
    assert macos._told(sys.executable, "-c", "print('told')") == "told\n"


def test_a_signal_is_sent_again_where_the_c_library_has_a_handler(monkeypatch):
    came, raised = [], []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        macos.raise_again(signal.SIGTERM)
        assert came == [signal.SIGTERM]
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        monkeypatch.setattr("_thread.interrupt_main", raised.append)
        macos.raise_again(signal.SIGTERM)
        assert raised == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_descriptors_are_files_of_one_folder(tmp_path, monkeypatch):
    assert macos.process_of_descriptors("/dev/fd") == str(os.getpid())
    assert macos.process_of_descriptors(str(tmp_path)) is None

    def control(descriptor, command, argument):
        assert command == double.GETPATH
        return os.fsencode(Path(f"/proc/self/fd/{descriptor}").readlink()).ljust(len(argument), b"\0")

    monkeypatch.setattr(fcntl, "fcntl", control)
    with (tmp_path / "file").open("wb"):
        assert str(tmp_path / "file") in list(macos.open_paths())
