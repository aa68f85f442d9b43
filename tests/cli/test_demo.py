"""`resnas demo`: what comes with the package, as files of the user's."""

from __future__ import annotations

import shutil

import pytest
from support.places import EXAMPLE

FILES = {"checkpoint.safetensors", "LICENSE.txt", "pictures"}


def test_it_writes_what_the_example_has(resnas, tmp_path):
    done = resnas("demo")
    assert {path.name for path in (tmp_path / "demo").iterdir()} == FILES
    for path in [EXAMPLE / "checkpoint.safetensors", *(EXAMPLE / "pictures").iterdir()]:
        assert (tmp_path / "demo" / path.relative_to(EXAMPLE)).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "demo" / "pictures").iterdir())) == 10
    assert "resnas predict clothes demo/pictures/bag.png" in done.out


def test_what_it_says_to_do_next_names_a_bag(resnas, tmp_path):
    lines = resnas("demo").out.splitlines()
    for line in lines[1:]:
        done = resnas(*line.partition("resnas ")[2].split())
    assert "bag (8)" in done.out


def test_run_again_it_changes_nothing(resnas, tmp_path):
    resnas("demo")
    (tmp_path / "demo" / "mine.txt").write_text("kept")
    before = (tmp_path / "demo" / "checkpoint.safetensors").stat()
    resnas("demo")
    after = (tmp_path / "demo" / "checkpoint.safetensors").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert (tmp_path / "demo" / "mine.txt").exists()


def test_an_empty_folder_may_be_given(resnas, tmp_path):
    (tmp_path / "here").mkdir()
    resnas("demo", "--out", "here")
    assert (tmp_path / "here" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("damage", ["another file", "a changed one", "a file by its name", "a link"])
def test_anything_else_that_is_there_stays(resnas, refused, tmp_path, damage):
    if damage == "another file":
        (tmp_path / "demo").mkdir()
        (tmp_path / "demo" / "mine.txt").write_text("mine")
    elif damage == "a file by its name":
        (tmp_path / "demo").write_text("mine")
    elif damage == "a link":
        (tmp_path / "else").mkdir()
        (tmp_path / "demo").symlink_to("else")
    else:
        resnas("demo")
        (tmp_path / "demo" / "pictures" / "bag.png").write_bytes(b"mine")
    assert "demo exists" in (line := refused("demo"))
    assert line.endswith("--out") or "name another folder" in line


def test_a_place_without_a_name_is_refused(refused):
    assert "--out must be a folder with a name of its own" in refused("demo", "--out", "..")


def test_a_folder_that_cannot_be_is_refused(refused, tmp_path):
    shutil.copy(EXAMPLE / "arch.json", tmp_path / "file")
    assert "file/demo" in refused("demo", "--out", "file/demo")
