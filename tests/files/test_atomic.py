from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file, atomic_folder


def never(_path):
    return False


def always(_path):
    return True


def test_file_appears_whole(tmp_path):
    path = tmp_path / "file"
    with atomic_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_file_survives_an_error(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way():
        with atomic_file(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("target", ["missing/file", "plain/file", "/proc/file"])
def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path, target):
    (tmp_path / "plain").write_text("a file, no folder")
    with pytest.raises(BadInput, match=r"cannot be written: .*; choose a place"), atomic_file(tmp_path / target):
        pytest.fail("nothing can be written there")


def test_folder_appears_whole(tmp_path):
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path, never) as partial:
        (partial / "a").write_text("1")
        assert not path.exists()
    assert (path / "a").read_text() == "1"
    assert [p.name for p in path.parent.iterdir()] == ["folder"]


def test_folder_is_replaced_only_when_allowed(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("1")
    with pytest.raises(BadInput, match="exists"), atomic_folder(path, never):
        pytest.fail("not allowed")
    with atomic_folder(path, always) as partial:
        (partial / "new").write_text("2")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_link_is_never_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(BadInput, match="exists"), atomic_folder(tmp_path / "link", always):
        pytest.fail("not allowed")
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("make", "write"),
    [(Path.mkdir, lambda path: atomic_folder(path, never)), (Path.touch, atomic_file)],
    ids=["folder", "file"],
)
def test_leftovers_of_killed_writers_go_and_those_of_living_ones_stay(tmp_path, make, write):
    for name in (".it.dead.partial", ".it.alive.partial", ".other.dead.partial"):
        make(tmp_path / name)
    lock = os.open(tmp_path / ".it.alive.partial", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with write(tmp_path / "it"):
            pass
    finally:
        os.close(lock)
    assert {p.name for p in tmp_path.iterdir()} == {"it", ".it.alive.partial", ".other.dead.partial"}


def test_writers_of_one_file_leave_each_other_alone(tmp_path):
    with atomic_file(tmp_path / "it") as first, atomic_file(tmp_path / "it") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "it").read_text() == "first"  # whoever is done last
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
