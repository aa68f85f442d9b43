"""An artifact is opened only if every byte of it is as it was written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import refusal

from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, Artifact, open_artifact
from resnas_deploy.artifact.creating import seal
from resnas_deploy.artifact.manifest import MAX_BYTES

FILES = (MODEL, WEIGHTS, MANIFEST)


@pytest.fixture(scope="session")
def spoilt(mini_artifact, tmp_path_factory):
    """A copy that is spoilt and mended over and over."""
    return shutil.copytree(mini_artifact, tmp_path_factory.mktemp("spoilt") / "copy")


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
def test_a_link_is_as_good_as_the_file_that_it_leads_to(artifact_copy, tmp_path, name):
    shutil.move(artifact_copy / name, tmp_path / "elsewhere")
    (artifact_copy / name).symlink_to(tmp_path / "elsewhere")
    open_artifact(artifact_copy)
    (tmp_path / "elsewhere").write_bytes(b"another one")
    assert name in refused_opening(artifact_copy)
    (tmp_path / "elsewhere").unlink()
    assert f"{name} is a link to {tmp_path / 'elsewhere'}, where nothing is" in refused_opening(artifact_copy)


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


def test_a_graph_beyond_protobufs_limit_is_not_hashed(artifact_copy, monkeypatch):
    os.truncate(artifact_copy / MODEL, 5 * 2**30)  # sparse: it takes no room on the disk
    monkeypatch.setattr("resnas_deploy.artifact.artifact.digest", lambda _: pytest.fail("it was read"))
    assert "model.onnx must have at most 2147483647 bytes" in refused_opening(artifact_copy)


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
