"""The module of Windows, held to doubles of what Microsoft's and Python's documentation say of it."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import sys
from pathlib import PurePath, PureWindowsPath

import pytest

pytest.importorskip("fcntl")  # the doubles are made of what Linux has

from support.other_systems import windows as double

from resnas_deploy.system import windows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a double of Windows is of use elsewhere")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A kernel with the functions that are called, and the modules that Python has there."""
    kernel = double.Kernel32()
    monkeypatch.setitem(sys.modules, "msvcrt", double.msvcrt_module())
    monkeypatch.setitem(sys.modules, "winreg", double.winreg_module())
    monkeypatch.setattr(ctypes, "WinDLL", lambda name, use_last_error: kernel, raising=False)
    for flag in ("_BINARY", "_NO_INHERIT"):  # which are other flags here
        monkeypatch.setattr(windows, flag, 0)
    monkeypatch.setattr(windows, "_READING", os.O_RDONLY)
    return kernel


def test_a_lock_is_anothers_until_it_is_closed(tmp_path, monkeypatch):
    path = tmp_path / "file"
    first = windows.open_locked_file(path, 0o600, new=True)
    with pytest.raises(FileExistsError):
        windows.open_locked_file(path, 0o600, new=True)
    os.write(first, b"what is read before")
    windows.lock(first)
    second = windows.open_locked_file(path, 0o600)
    with pytest.raises(BlockingIOError):
        windows.lock(second)
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        os.close(first)

    monkeypatch.setattr("time.sleep", sleep)
    windows.lock(second, wait=True)  # LK_LOCK would give up after ten seconds
    assert len(waited) == 1
    os.close(second)


def test_a_folder_has_a_lock_elsewhere(tmp_path, monkeypatch):
    """A folder cannot be opened, and a file in it would be one of its own."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    folder = tmp_path / "folder"
    with pytest.raises(FileNotFoundError):
        windows.open_lock_of_folder(folder)
    folder.mkdir()
    first, second = windows.open_lock_of_folder(folder), windows.open_for_locking(folder / ".." / "folder")
    windows.lock(first)
    with pytest.raises(BlockingIOError):
        windows.lock(second)
    (tmp_path / "other").mkdir()
    third = windows.open_lock_of_folder(tmp_path / "other")
    windows.lock(third)
    assert list(folder.iterdir()) == []
    for descriptor in (first, second, third):
        os.close(descriptor)
    (folder / "file").touch()
    with pytest.raises(NotADirectoryError):
        windows.open_lock_of_folder(folder / "file")


def test_files_of_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    folder = windows.Folder(tmp_path)
    for name in ("file", "link"):
        descriptor = folder.open(name)
        assert windows.read_at(descriptor, 3, 1) == b"ont"
        assert os.read(descriptor, 3) == b"con"  # its place did not move
        os.close(descriptor)
    assert folder.link("link") == "file"
    with pytest.raises(OSError, match="symbolic") as refused:
        folder.open("link", follow=False)
    assert refused.value.errno == errno.ELOOP
    with pytest.raises(FileNotFoundError):
        folder.open("nothing")
    folder.close()
    with pytest.raises(NotADirectoryError):
        windows.Folder(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        windows.Folder(tmp_path / "nothing")


def test_a_folder_is_no_file_to_read(tmp_path, monkeypatch):
    def refuse(path, flags, mode=0):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))  # as the C library says it

    (tmp_path / "file").touch()
    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(IsADirectoryError):
        windows.open_to_read(tmp_path)
    with pytest.raises(PermissionError):
        windows.open_to_read(tmp_path / "file")


def test_what_somebody_has_open_for_a_moment_is_renamed_a_little_later(tmp_path, monkeypatch):
    (tmp_path / "old").write_text("old", encoding="utf-8")
    left, real, waited = [5, 32], os.rename, []

    def rename(old, new):
        if left:
            error = PermissionError(errno.EACCES, "used by another process")
            error.winerror = left.pop()
            raise error
        real(old, new)

    monkeypatch.setattr("os.rename", rename)
    monkeypatch.setattr("time.sleep", waited.append)
    windows.rename(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").read_text(encoding="utf-8") == "old"
    assert len(waited) == 2
    left += [5] * 100
    with pytest.raises(PermissionError):
        windows.rename(tmp_path / "new", tmp_path / "old")
    assert len(waited) < 100
    with pytest.raises(OSError, match="supported"):
        windows.rename(tmp_path / "new", tmp_path / "old", exchange=True)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("con", "'con' is the name of a device of Windows"),
        ("a/NUL.txt", "'NUL.txt' is the name of a device of Windows"),
        ("COM1", "'COM1' is the name of a device of Windows"),
        ("out.", "'out.' ends in a point or a space, which Windows leaves out"),
        ("out /a", "'out ' ends in a point or a space, which Windows leaves out"),
        ("cuda:0.json", "'cuda:0.json' has ':' in it, which no name has on Windows"),
        ("a\x01", "'a\\x01' has '\\x01' in it, which no name has on Windows"),
        ("../out", ""),
        ("./COM/console/com10/a.b c", ""),
        ("C:\\out\\small", ""),
        ("C:\\out\\small?", "'small?' has '?' in it, which no name has on Windows"),
    ],
)
def test_names_that_windows_does_not_have(name, why):
    path = PureWindowsPath(name)
    assert windows.why_no_name(path) == why
    assert windows.why_no_name(PurePath("out")) == ""


def test_cores_and_memory(machine):
    machine.mask = 0b1011
    assert windows.cores() == {0, 1, 3}
    machine.mask = 0  # a process of several groups of processors
    assert windows.cores() == set(range(os.cpu_count()))
    assert windows.free_memory() == 3 * 2**30


@pytest.mark.parametrize(
    ("identifier", "features", "lines"),
    [
        (
            "AMD64 Family 25 Model 1 Stepping 1",
            (39, 40),
            ["cpu family: 25", "model: 1", "stepping: 1", "flags: avx avx2"],
        ),
        ("Intel64 Family 6 Model 143 Stepping 8", (), ["cpu family: 6", "model: 143", "stepping: 8", "flags: "]),
        ("ARMv8 (64-bit) Family 8 Model D4B Revision   0", (19, 43), ["cpu family: 8", "model: D4B"]),
    ],
)
def test_the_processor(machine, monkeypatch, identifier, features, lines):
    monkeypatch.setitem(sys.modules, "winreg", double.winreg_module("A CPU", identifier))
    machine.features = features
    found = windows.processor_text().splitlines()
    assert found[0] == "model name: A CPU"
    assert found[1 : 1 + len(lines)] == lines
    if identifier.startswith("ARM"):
        assert found[-1] == "Features: asimd asimddp"


def test_what_is_open_has_its_path(tmp_path, monkeypatch):
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(double, "OPEN", {file.fileno(): r"C:\work\.out.0123.partial\.resnas-lock"})
        assert list(windows.open_paths()) == [r"C:\work\.out.0123.partial\.resnas-lock"]


def test_output_that_is_no_console_is_utf_8(monkeypatch):
    piped = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", piped)
    windows.text_output()
    sys.stdout.write("≤ 1 µs")
    piped.flush()
    assert piped.buffer.getvalue() == "≤ 1 µs".encode()
