"""An artifact appears whole or not at all, and replaces nothing but artifacts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.checks import refusal

from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, open_artifact
from resnas_deploy.artifact.creating import check_replaceable, creating, set_aside
from resnas_deploy.errors import BadInput

FILES = (MODEL, WEIGHTS, MANIFEST)


def everything(folder):
    """All names below a folder, with the content of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def test_appears_whole(tmp_path):
    folder = tmp_path / "a" / "b" / "new"
    with creating(folder, force=False) as partial:
        (partial / "file").write_bytes(b"x")
        assert not folder.exists()
    assert everything(tmp_path / "a") == {"b": None, "b/new": None, "b/new/file": b"x"}


def test_an_error_leaves_nothing_not_even_the_folders_above(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _fail(tmp_path / "a" / "b" / "new", lambda partial: (partial / "file").write_bytes(b"x"), KeyboardInterrupt())
    assert everything(tmp_path) == {}


def test_an_error_leaves_folders_above_that_others_use(tmp_path):
    with pytest.raises(BadInput, match="wrong"):
        _fail(tmp_path / "a" / "b" / "new", lambda _: (tmp_path / "a" / "theirs").write_bytes(b"x"))
    assert everything(tmp_path) == {"a": None, "a/theirs": b"x"}


@pytest.mark.parametrize("force", [False, True])
def test_an_empty_folder_is_filled(tmp_path, force):
    with creating(tmp_path, force=force) as partial:
        (partial / "file").write_bytes(b"x")
    assert everything(tmp_path) == {"file": b"x"}


def test_an_artifact_is_replaced_only_with_force(artifact_copy):
    before = everything(artifact_copy.parent)
    assert "`force`" in refusal(lambda: _create(artifact_copy, force=False))
    assert everything(artifact_copy.parent) == before
    _create(artifact_copy, force=True)
    assert everything(artifact_copy) == {"new": b"new"}


@pytest.mark.parametrize("name", FILES)
def test_so_is_a_spoilt_one(artifact_copy, name):
    (artifact_copy / name).write_bytes(b"spoilt")
    _create(artifact_copy, force=True)
    assert everything(artifact_copy) == {"new": b"new"}


def test_an_error_leaves_the_old_one(artifact_copy):
    before = everything(artifact_copy.parent)
    with pytest.raises(BadInput, match="wrong"):
        _fail(artifact_copy, lambda _: open_artifact(artifact_copy))  # still there, whole
    assert everything(artifact_copy.parent) == before


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("kind", ["folder", "artifact", "foreign manifest", "in a folder of it", "file"])
def test_what_is_precious_is_left_untouched(artifact_copy, force, kind):
    if kind == "folder":
        shutil.rmtree(artifact_copy)
        artifact_copy.mkdir()
        (artifact_copy / "thesis.txt").write_text("precious")
    elif kind == "artifact":
        (artifact_copy / "thesis.txt").write_text("precious")
    elif kind == "foreign manifest":  # many programs have a file of this name
        shutil.rmtree(artifact_copy)
        artifact_copy.mkdir()
        (artifact_copy / MANIFEST).write_text('{"name": "a web page"}')
    elif kind == "in a folder of it":
        (artifact_copy / "notes").mkdir()
        (artifact_copy / "notes" / "thesis.txt").write_text("precious")
    else:
        shutil.rmtree(artifact_copy)
        artifact_copy.write_text("precious")
    before = everything(artifact_copy.parent)
    assert str(artifact_copy) in refusal(lambda: _create(artifact_copy, force=force))
    assert everything(artifact_copy.parent) == before


@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_replaced_through_a_symbolic_link(artifact_copy, tmp_path, force):
    link = tmp_path / "link"
    for target in (artifact_copy, tmp_path / "none"):
        link.symlink_to(target)
        refusal(lambda: _create(link, force=force))
        assert "a symbolic link" in refusal(lambda: check_replaceable(link))
        assert link.is_symlink()
        link.unlink()
    open_artifact(artifact_copy)


def test_what_keeps_it_from_being_replaced_is_named(artifact_copy):
    check_replaceable(artifact_copy)
    (artifact_copy / "thesis.txt").write_text("precious")
    assert "'thesis.txt'" in refusal(lambda: check_replaceable(artifact_copy))


@pytest.mark.parametrize("name", [".", "..", "a/..", "/", ""])
def test_a_folder_without_a_name_of_its_own_is_not_replaced(tmp_path, monkeypatch, name):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    for force in (False, True):
        refusal(lambda force=force: _create(Path(name), force=force))
    assert everything(tmp_path) == {"empty": None}


@pytest.mark.parametrize("name", ["x" * 300, "x" * 250])
def test_a_name_too_long_is_one_line(tmp_path, name):
    assert "File name too long" in refusal(lambda: _create(tmp_path / name, force=False))
    assert everything(tmp_path) == {}


def test_set_aside_under_another_name(artifact_copy, tmp_path):
    failed = tmp_path / "failed"
    for content in (b"first", b"second"):
        with pytest.raises(BadInput, match="wrong"):
            _fail(artifact_copy, lambda partial, content=content: _set_aside(partial, failed, content))
        assert everything(failed) == dict.fromkeys(FILES, content)
    assert failed.stat().st_mode & 0o777 == 0o755
    open_artifact(artifact_copy)


def test_set_aside_over_nothing_precious(tmp_path):
    partial, failed = tmp_path / "partial", tmp_path / "failed"
    for folder in (partial, failed):
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
    before = everything(tmp_path)
    refusal(lambda: set_aside(partial, failed))
    assert everything(tmp_path) == before


def _set_aside(partial, failed, content):
    for name in FILES:
        (partial / name).write_bytes(content)
    set_aside(partial, failed)


def _fail(folder, act, error=None):
    """Begin to make or to replace an artifact, do something, and fail."""
    with creating(folder, force=True) as partial:
        act(partial)
        raise error or BadInput("wrong")


def _create(folder, *, force):
    with creating(folder, force=force) as partial:
        (partial / "new").write_bytes(b"new")
