"""Outputs that a user names: links, pipes, devices, places that cannot be written, disks that lack what others have."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.checks import refusal

from resnas_deploy.errors import StorageError
from resnas_deploy.files.atomic import Taken, atomic_file, atomic_folder, write_errors
from resnas_deploy.files.outputs import check_apart, check_writable, output_file, write_text
from resnas_deploy.files.streams import is_stream


def test_what_came_in_the_meantime_stays(tmp_path):
    def write():
        with atomic_file(tmp_path / "file", replace=False) as partial:
            partial.write_text("new")
            (tmp_path / "file").write_text("precious")

    with pytest.raises(Taken, match="made in the meantime"):
        write()
    assert (tmp_path / "file").read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_so_does_a_folder(tmp_path):
    def write():
        with atomic_folder(tmp_path / "it", lambda _: False) as partial:
            (partial / "new").write_text("new")
            (tmp_path / "it").mkdir()
            (tmp_path / "it" / "thesis").write_text("precious")

    with pytest.raises(Taken, match="made in the meantime"):
        write()
    assert [path.name for path in (tmp_path / "it").iterdir()] == ["thesis"]
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_two_outputs_are_two_files(tmp_path):
    (tmp_path / "link").symlink_to("one")
    check_apart(out=tmp_path / "one", html=tmp_path / "two", csv=None)
    check_apart(out=Path(os.devnull), html=Path(os.devnull))
    for same in ("one", "link", "./one"):
        told = refusal(lambda html=tmp_path / same: check_apart(out=tmp_path / "one", html=html))
        assert told.startswith("`html` must be another file than `out`, found ")


def test_a_link_that_a_user_names_leads_to_the_file_that_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "link"
    link.symlink_to("far/file")
    for content in ("first", "second"):
        write_text(link, content, replace=True)
        assert link.is_symlink()
        assert (tmp_path / "far" / "file").read_text() == content
    with pytest.raises(Taken):
        write_text(link, "third", replace=False)


def test_a_link_among_our_own_files_is_replaced(tmp_path):
    """What it leads to may be a cache's, under the hash of its content."""
    (tmp_path / "blob").write_text("shared")
    (tmp_path / "file").symlink_to("blob")
    with atomic_file(tmp_path / "file") as partial:
        partial.write_text("own")
    assert (tmp_path / "blob").read_text() == "shared"
    assert not (tmp_path / "file").is_symlink()


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    check_writable(pipe)
    write_text(pipe, "text", replace=False)
    reader.join(timeout=30)
    assert found == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("write", [atomic_file, lambda path: output_file(path, replace=True)])
def test_a_device_is_never_replaced(tmp_path, write):
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (tmp_path / "link", tmp_path / "link"):
        with write(path) as partial:
            partial.write_text("text")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_device_that_is_full_is_one_line(tmp_path):
    (tmp_path / "link").symlink_to("/dev/full")
    assert "No space left on device" in refusal(
        lambda: write_text(tmp_path / "link", "text", replace=True), StorageError
    )


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "found a socket" in refusal(lambda: write_text(tmp_path / "s", "text", replace=True))
        assert "found a socket" in refusal(lambda: check_writable(tmp_path / "s"))


WRITE = """
from pathlib import Path
from resnas_deploy.files.outputs import write_text
print("before")
write_text(Path("/dev/stdout"), "document\\n", replace=False)
print("after")
"""


def test_standard_output_is_written_to_where_it_is_a_file_too(tmp_path):
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", WRITE], stdout=out, check=True, timeout=60)
    assert (tmp_path / "out").read_text() == "before\ndocument\nafter\n"
    done = subprocess.run([sys.executable, "-c", WRITE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "before\ndocument\nafter\n"


def test_what_is_no_stream(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path, tmp_path / "none", tmp_path / "none" / "none"):
        assert not is_stream(path)
    assert "Too many levels of symbolic links" in refusal(lambda: check_writable(tmp_path / "loop"))


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.ENOSYS])
def test_a_disk_that_cannot_flush_a_folder_or_change_who_reads(tmp_path, monkeypatch, code):
    """SMB, FUSE, exFAT."""

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    for name in ("os.fsync", "os.chmod", "fcntl.flock", "os.link", "resnas_deploy.system.here.rename"):
        monkeypatch.setattr(name, refuse)
    with atomic_file(tmp_path / "file", replace=False) as partial:
        partial.write_text("text")
    with atomic_folder(tmp_path / "folder", lambda _: False) as partial:
        (partial / "file").write_text("text")
    with atomic_folder(tmp_path / "folder", lambda _: True) as partial:
        (partial / "file").write_text("other")
    assert (tmp_path / "file").read_text() == "text"
    assert (tmp_path / "folder" / "file").read_text() == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_flush_that_fails_is_no_success(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("os.fsync", refuse)
    assert "Input/output error" in refusal(lambda: write_text(tmp_path / "file", "text", replace=True), StorageError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("none/file", "choose a place in a folder that is there"),
        ("x" * 300, "choose a shorter name"),
        ("folder", "choose another name"),
    ],
)
def test_the_remedy_is_the_right_one(tmp_path, path, remedy):
    (tmp_path / "folder").mkdir()
    assert refusal(lambda: write_text(tmp_path / path, "text", replace=True)).endswith(remedy)


def test_a_folder_where_a_file_is_needs_another_name(tmp_path):
    (tmp_path / "file").write_text("")

    def make():
        with write_errors(tmp_path / "file"):
            (tmp_path / "file").mkdir()

    assert refusal(make).endswith("choose another name")


def test_a_place_that_may_not_be_written_is_found_before_the_work(tmp_path):
    assert "cannot be written" in refusal(lambda: check_writable(tmp_path / "none" / "file"))
    check_writable(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o555)
    try:
        assert refusal(lambda: check_writable(tmp_path / "file"), StorageError).endswith(
            "choose a place that you may write to"
        )
    finally:
        tmp_path.chmod(0o755)
