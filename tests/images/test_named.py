"""Images as they are named: what each name means, in which order, and that no more is looked at than is asked for."""

from __future__ import annotations

import io
import os
import sys
from itertools import islice, repeat
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.processes import wait_for

from resnas_deploy.images.counting import counting
from resnas_deploy.images.named import images_named


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with files that have names of images."""
    for name in ("b.jpg", "a.png", "deep/er/c.jpg", "deep/d.gif", "notes.txt", ".hidden.jpg", "Thumbs.db"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(*given):
    """The paths of what is named, and the problems after them."""
    found = list(images_named(given))
    return [str(each.path) for each in found if not each.problem], [each.problem for each in found if each.problem]


def test_files_and_folders(folder):
    assert named("b.jpg", Path("notes.txt"), "nothing.jpg") == (["b.jpg", "notes.txt", "nothing.jpg"], [])
    assert named("deep") == (["deep/d.gif", "deep/er/c.jpg"], [])
    assert named(Path(), "b.jpg") == (["a.png", "b.jpg", "deep/d.gif", "deep/er/c.jpg", "b.jpg"], [])


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.jpg", ["b.jpg"]),
        ("?.*", ["a.png", "b.jpg"]),
        ("**/*.jpg", ["b.jpg", "deep/er/c.jpg"]),
        ("d[e]ep", ["deep/d.gif", "deep/er/c.jpg"]),  # a folder that matches is a folder
        ("*", ["Thumbs.db", "a.png", "b.jpg", "deep/d.gif", "deep/er/c.jpg", "notes.txt"]),  # as a shell has it
    ],
)
def test_patterns_are_sorted_and_match_as_a_shell_does(folder, pattern, wanted):
    assert named(pattern) == (wanted, [])
    assert named(str(folder / pattern)) == ([str(folder / name) for name in wanted], [])


def test_a_pattern_that_matches_nothing_is_told_with_its_own_words(folder):
    assert named("*.tif", "b.jpg") == (["b.jpg"], ["'*.tif' must be the name of an image, or match some; found none"])


def test_what_is_there_by_a_name_is_meant_by_it(folder):
    for name in ("[ab].jpg", "@b.jpg", "*.png", "@list"):
        (folder / name).write_bytes(b"x")
    assert named("[ab].jpg", "@b.jpg", "*.png", "@list") == (["[ab].jpg", "@b.jpg", "*.png", "@list"], [])
    assert named(Path("@nothing"), Path("?.jpg")) == (["@nothing", "?.jpg"], [])  # a path is no text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_list_has_a_file_or_a_folder_a_line(folder, end, start):
    lines = [start + "b.jpg", "", "deep", "no such *.jpg", " blanks count.jpg ", "ünï.jpg"]
    (folder / "list.txt").write_text(end.join(lines), encoding="utf-8", newline="")
    wanted = ["b.jpg", "deep/d.gif", "deep/er/c.jpg", "no such *.jpg", " blanks count.jpg ", "ünï.jpg"]
    assert named("@list.txt", "a.png") == ([*wanted, "a.png"], [])
    assert named(f"@{folder / 'list.txt'}") == (wanted, [])


def test_standard_input_is_a_list(folder, monkeypatch):
    for name in ("-", "@-"):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"b.jpg\nn\xff.jpg\n")))
        assert named(name, "a.png") == (["b.jpg", os.fsdecode(b"n\xff.jpg"), "a.png"], [])
    monkeypatch.setattr(sys, "stdin", io.StringIO("b.jpg\n"))
    assert named("-")[1] == ["'-' must be where there is a standard input, found none; give `images` the list itself"]


@pytest.mark.parametrize(
    ("content", "before", "found"),
    [
        (b"", [], "found no line"),
        (b"\n\n", [], "found no line"),
        (b"b.jpg\na.png\0c.jpg\n", ["b.jpg"], "found a null character in line 2"),
        (b"b.jpg\n" + b"x" * 70_000, ["b.jpg"], "found more than 65536 bytes in line 2"),
        ("b.jpg\n".encode("utf-16"), [], "found UTF-16; save it as UTF-8"),
        ("b.jpg\n".encode("utf-16-le"), [], "found UTF-16; save it as UTF-8"),
    ],
    ids=["empty", "blank", "null", "long", "utf-16", "utf-16-le"],
)
def test_what_is_no_list_is_told_after_what_it_named(folder, content, before, found):
    (folder / "list").write_bytes(content)
    paths, (problem,) = named("@list", "a.png")
    assert paths == [*before, "a.png"]
    assert problem.startswith("list must be ")
    assert found in problem


@pytest.mark.parametrize(
    ("name", "found"),
    [("@nothing.txt", "nothing.txt must be a readable file"), ("@deep", "deep must be a file, found a folder")],
)
def test_a_list_that_cannot_be_read(folder, name, found):
    assert named(name, "b.jpg")[0] == ["b.jpg"]
    assert found in named(name)[1][0]


def test_a_folder_without_images_and_one_that_cannot_be_read(folder, monkeypatch):
    (folder / "empty").mkdir()
    assert "'empty' must hold images" in named("empty", "b.jpg")[1][0]
    usual = os.scandir

    def refused(path):
        if Path(path).name == "er":
            raise PermissionError(13, "Permission denied")
        return usual(path)

    monkeypatch.setattr(os, "scandir", refused)
    paths, problems = named("deep", "b.jpg")
    assert paths == ["deep/d.gif", "b.jpg"]
    assert "'deep/er' must be readable, found: Permission denied" in problems[0]


def test_no_more_is_looked_at_than_is_asked_for(folder):
    """Names without an end, and a list that grows while it is read."""
    assert [str(each.path) for each in islice(images_named(repeat("b.jpg")), 3)] == ["b.jpg"] * 3
    with (folder / "list").open("w") as file:
        file.write("first.jpg\n")
        file.flush()
        found = images_named(["@list"])
        assert str(next(found).path) == "first.jpg"
        file.write("second.jpg\n")
        file.flush()
        assert [str(each.path) for each in found] == ["second.jpg"]


def test_counting_them_meanwhile(folder, caplog):
    """The count is known when the thread has come to the end, says nothing of what is passed over, and can be ended."""
    with counting(lambda: images_named(["deep", "b.jpg"], notes=False)) as total:
        wait_for(total)
        assert total() == 3
    assert not caplog.records
    with counting(lambda: repeat("b.jpg")) as total:
        pass  # which ends it
    assert total() == 0
    with counting(lambda: (1 // 0 for _ in "1")) as total:
        pass
    assert total() == 0
