"""What is at a name is decided when it is renamed to, on every kind of file system, and nobody's files are lost."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from resnas_deploy.files import renames
from resnas_deploy.files.renames import give_back, put_file, put_folder, rename_new
from resnas_deploy.system import here

REAL = here.rename


def refusing(code, *kinds):
    """`rename` of a file system that does not know these kinds: exchanging or not."""

    def rename(old, new, *, exchange=False):
        if exchange in kinds:
            raise OSError(code, os.strerror(code))
        REAL(old, new, exchange=exchange)

    return rename


def no_links(*_, **__):
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))  # as exFAT says it


def plain(monkeypatch):
    pass


def without_exchange(monkeypatch):
    monkeypatch.setattr(here, "rename", refusing(errno.EINVAL, True))


def without_flags(monkeypatch):
    monkeypatch.setattr(here, "rename", refusing(errno.EINVAL, True, False))


def without_links_too(monkeypatch):
    without_flags(monkeypatch)
    monkeypatch.setattr("os.link", no_links)


def without_the_call(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())  # as musl's


@pytest.fixture(params=[plain, without_exchange, without_flags, without_links_too, without_the_call])
def disk(request, monkeypatch, tmp_path):
    request.param(monkeypatch)
    return tmp_path


def folder(path, *names):
    path.mkdir()
    for name in names:
        (path / name).write_text(name)
    return path


def names(path):
    return sorted(str(each.relative_to(path)) for each in path.rglob("*"))


def test_a_folder_and_a_file_go_where_nothing_is(disk):
    put_folder(folder(disk / "partial", "new"), disk / "it", lambda _: False)
    (disk / "file").write_text("text")
    put_file(disk / "file", disk / "named", replace=False)
    assert names(disk) == ["it", "it/new", "named"]


@pytest.mark.parametrize("kind", ["folder", "empty", "file", "link", "dangling"])
def test_what_is_there_stays(disk, kind):
    it, outside = disk / "it", folder(disk / "outside", "precious")
    if kind == "folder":
        folder(it, "precious")
    elif kind == "empty":
        it.mkdir()
    elif kind == "file":
        it.write_text("precious")
    else:
        it.symlink_to(outside if kind == "link" else "nowhere")
    partial = folder(disk / "partial", "new")
    (disk / "file").write_text("text")
    before = names(disk)
    for refused in (lambda: put_folder(partial, it, lambda _: False), lambda: rename_new(disk / "file", it)):
        with pytest.raises(FileExistsError):
            refused()
    with pytest.raises(OSError, match=r"File exists|Is a directory"):
        put_file(disk / "file", it, replace=False)
    assert names(disk) == before


def test_a_link_is_not_replaced_whatever_is_said_of_it(disk):
    outside = folder(disk / "outside", "precious")
    (disk / "it").symlink_to(outside)
    with pytest.raises(FileExistsError):
        put_folder(folder(disk / "partial", "new"), disk / "it", lambda _: True)
    assert (disk / "it").is_symlink()
    assert names(outside) == ["precious"]


@pytest.mark.parametrize("before", [(), ("old",)])
def test_what_may_be_replaced_is_and_leaves_nothing(disk, before):
    folder(disk / "it", *before)
    put_folder(folder(disk / "partial", "new"), disk / "it", lambda _: True)
    assert names(disk) == ["it", "it/new"]


def test_what_changes_at_the_last_moment_comes_back(disk):
    """Something precious is put into the folder after it was asked about, before it is moved."""
    it, asked = folder(disk / "it", "old"), []

    def may_replace(path):
        asked.append(path)
        if len(asked) == 1:
            return True  # and now somebody writes into it
        (path / "thesis").write_text("precious")
        return False

    with pytest.raises(FileExistsError):
        put_folder(folder(disk / "partial", "new"), it, may_replace)
    assert names(it) == ["old", "thesis"]
    assert asked[1].parent != it.parent or asked[1] != it, "asked again of what came out"
    assert names(disk) == ["it", "it/old", "it/thesis", "partial", "partial/new"]


def test_what_is_kept_by_a_process_that_is_killed_goes_back(tmp_path):
    work = folder(tmp_path / "work")
    folder(work / f"{renames.REPLACED}1234")
    folder(work / f"{renames.REPLACED}1234" / "it", "old")
    give_back(work, tmp_path)
    assert names(tmp_path / "it") == ["old"]


def test_a_missing_folder_is_no_reason_to_write_elsewhere(disk):
    (disk / "file").write_text("text")
    with pytest.raises(FileNotFoundError):
        rename_new(disk / "file", disk / "none" / "it")
    assert names(disk) == ["file"]


def raced(count, act):
    """Exit statuses of so many processes that each do `act(number)`, begun together."""
    ready, begin = os.pipe(), os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.write(ready[1], b".")
                os.close(begin[1])
                os.read(begin[0], 1)  # the end of it
                act(number)
                status = 0
            except FileExistsError:
                status = 2
            finally:
                os._exit(status)
        children.append(child)
    for _ in range(count):
        os.read(ready[0], 1)
    for end in (*ready, *begin):
        os.close(end)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("replace", [False, True])
def test_of_several_at_once_one_wins_or_all_do_and_what_is_there_is_whole(disk, replace):
    count, each = 4, 3
    for turn in range(each):
        it = disk / f"it{turn}"
        for number in range(count):
            folder(disk / f"partial{number}", *(f"{number}-{part}" for part in range(5)))
        ended = raced(count, lambda number, it=it: put_folder(disk / f"partial{number}", it, lambda _: replace))
        assert sorted(ended) == ([0] * count if replace else [0] + [2] * (count - 1))
        assert len({name[0] for name in names(it)}) == 1
        assert len(names(it)) == 5
        for number in range(count):
            if (left := disk / f"partial{number}").exists():
                assert not replace
                for path in left.iterdir():
                    path.unlink()
                left.rmdir()
    assert sorted(path.name for path in disk.iterdir()) == sorted(f"it{turn}" for turn in range(each))


def test_of_several_files_at_once_one_wins(disk):
    for turn in range(3):
        for number in range(4):
            (disk / f"partial{number}").write_text(str(number))
        it = disk / f"it{turn}"
        ended = raced(4, lambda number, it=it: put_file(disk / f"partial{number}", it, replace=False))
        assert sorted(ended) == [0, 2, 2, 2]
        assert it.read_text() == str(ended.index(0))
        for left in disk.glob("partial*"):
            Path(left).unlink()
