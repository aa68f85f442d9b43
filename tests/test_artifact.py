"""An artifact is opened only if every byte of it is as it was written, and replaces nothing but artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import refusal

from resnas_deploy.artifact import (
    MANIFEST,
    MODEL,
    WEIGHTS,
    Artifact,
    check_replaceable,
    creating,
    open_artifact,
    seal,
    set_aside,
)
from resnas_deploy.errors import BadInput
from resnas_deploy.manifest import MAX_BYTES

FILES = (MODEL, WEIGHTS, MANIFEST)


@pytest.fixture(scope="session")
def spoilt(mini_artifact, tmp_path_factory):
    """A copy that is spoilt and mended over and over."""
    return shutil.copytree(mini_artifact, tmp_path_factory.mktemp("spoilt") / "copy")


def everything(folder):
    """All names below a folder, with the content of the files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused_opening(folder):
    message = refusal(lambda: open_artifact(folder))
    assert str(folder) in message
    return message


def test_opens_what_was_exported(mini_artifact):
    artifact = open_artifact(mini_artifact)
    assert artifact.model == mini_artifact / MODEL
    assert artifact.weights == mini_artifact / WEIGHTS
    assert artifact.manifest.label == "mini fp32 112"
    assert sorted(artifact.manifest.files) == sorted([MODEL, WEIGHTS])
    assert {path.name for path in mini_artifact.iterdir()} == set(FILES)


def test_everybody_may_read_it(mini_artifact):
    assert mini_artifact.stat().st_mode & 0o777 == 0o755
    assert {(mini_artifact / name).stat().st_mode & 0o777 for name in FILES} == {0o644}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0])
def test_a_flipped_bit_in_any_file_is_named(spoilt, name, place):
    _spoilt_byte_is_named(spoilt, name, place, 1)


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(FILES), place=st.floats(0, 1), change=st.integers(1, 255))
def test_any_changed_byte_in_any_file_is_named(spoilt, name, place, change):
    _spoilt_byte_is_named(spoilt, name, place, change)


def _spoilt_byte_is_named(folder, name, place, change):
    path = folder / name
    size = path.stat().st_size
    with path.open("r+b") as file:
        position = min(int(place * size), size - 1)
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ change]))
        file.flush()
        assert name in refused_opening(folder)
        file.seek(position)
        file.write(bytes([byte]))
    open_artifact(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_shorter_or_longer_file_is_named(artifact_copy, name):
    content = (artifact_copy / name).read_bytes()
    for changed in (b"", content[:-1], content + b"\n"):
        (artifact_copy / name).write_bytes(changed)
        assert name in refused_opening(artifact_copy)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(artifact_copy, name):
    (artifact_copy / name).unlink()
    assert name in refused_opening(artifact_copy)


@pytest.mark.parametrize("name", FILES)
def test_a_symbolic_link_is_no_file_of_an_artifact(artifact_copy, tmp_path, name):
    shutil.move(artifact_copy / name, tmp_path / "elsewhere")
    (artifact_copy / name).symlink_to(tmp_path / "elsewhere")
    assert name in refused_opening(artifact_copy)


@pytest.mark.parametrize("name", FILES)
def test_neither_is_a_folder_or_a_pipe(artifact_copy, name):
    (artifact_copy / name).unlink()
    (artifact_copy / name).mkdir()
    assert name in refused_opening(artifact_copy)
    (artifact_copy / name).rmdir()
    os.mkfifo(artifact_copy / name)  # to open it would block
    assert name in refused_opening(artifact_copy)


def test_other_things_are_no_artifacts(tmp_path, mini_checkpoint):
    for path in (tmp_path, tmp_path / "none", mini_checkpoint, tmp_path / ("x" * 300)):
        message = refused_opening(path)
    assert "File name too long" in message


def test_a_huge_manifest_is_not_read(artifact_copy):
    with (artifact_copy / MANIFEST).open("r+b") as file:
        file.truncate(MAX_BYTES + 1)
    assert str(MAX_BYTES) in refused_opening(artifact_copy)


@pytest.mark.parametrize("name", [MODEL, WEIGHTS])
def test_a_signed_manifest_must_list_the_graph_and_the_weights(artifact_copy, name):
    _signed_again(artifact_copy, lambda files: files.pop(name))
    assert f"must list {name}" in refused_opening(artifact_copy)


def test_every_listed_file_is_compared(artifact_copy):
    (artifact_copy / "engine").write_bytes(b"abc")
    _signed_again(artifact_copy, lambda files: files.update(engine=hashlib.sha256(b"abc").hexdigest()))
    open_artifact(artifact_copy)
    (artifact_copy / "engine").write_bytes(b"abd")
    assert "engine differs" in refused_opening(artifact_copy)


def _signed_again(folder, change):
    data = json.loads((folder / MANIFEST).read_bytes())
    del data["manifest_sha256"]
    change(data["files"])
    dumped = [json.dumps(data, indent=1, sort_keys=True) + "\n"]
    data["manifest_sha256"] = hashlib.sha256(dumped[0].encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")


def test_sealing_hashes_the_files(mini_artifact, tmp_path):
    partial = tmp_path / "partial"
    partial.mkdir()
    for name, content in ((MODEL, b"graph"), (WEIGHTS, b"weights")):
        (partial / name).write_bytes(content)
    sealed = seal(Artifact(partial, open_artifact(mini_artifact).manifest))
    assert sealed.manifest.files == {
        MODEL: hashlib.sha256(b"graph").hexdigest(),
        WEIGHTS: hashlib.sha256(b"weights").hexdigest(),
    }
    assert open_artifact(partial) == sealed


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
    assert "--force" in refusal(lambda: _create(artifact_copy, force=False))
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
