"""What runs is what was hashed, whatever comes in its place; links are as good as files; the truth is told."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal

from resnas_deploy.artifact import artifact as module
from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, open_artifact
from resnas_deploy.artifact.creating import check_replaceable, creating
from resnas_deploy.artifact.manifest import Manifest
from resnas_deploy.files.held import Held
from resnas_deploy.runners.base import Options, graph_of
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import file_digest

FILES = (MODEL, WEIGHTS, MANIFEST)


def spoil(folder):
    """Other files in the same places, as another export puts them there."""
    for name in FILES:
        (folder / name).unlink()
        (folder / name).write_bytes(b"another one")


def test_what_runs_is_what_was_hashed(artifact_copy):
    opened = open_artifact(artifact_copy)
    images = np.zeros((1, 3, opened.image_size, opened.image_size), np.float32)
    with RUNNERS["ort-cpu"].open(opened, Options(1)) as runner:
        wanted = runner.run(images)["logits"]
    digests = opened.manifest.files
    spoil(artifact_copy)
    assert file_digest(graph_of(opened)) == digests[MODEL]
    assert file_digest(opened.file(WEIGHTS)) == digests[WEIGHTS]
    with RUNNERS["ort-cpu"].open(opened, Options(1)) as runner:
        np.testing.assert_array_equal(runner.run(images)["logits"], wanted)
    assert opened.checkpoint().digest == opened.manifest.weights_sha256
    shutil.rmtree(artifact_copy)
    assert file_digest(graph_of(opened)) == digests[MODEL]


def test_files_are_closed_when_nobody_needs_them(artifact_copy):
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(20):
        open_artifact(artifact_copy)
        (artifact_copy / "x").touch()
    (artifact_copy / MODEL).write_bytes(b"spoilt")
    for _ in range(20):
        refusal(lambda: open_artifact(artifact_copy))
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) <= before + 5


def test_a_copy_in_another_process_goes_by_the_names(artifact_copy):
    opened = open_artifact(artifact_copy)
    for copied in (pickle.loads(pickle.dumps(opened.held)), copy.deepcopy(opened.held)):
        assert copied.path(MODEL) is None
    assert Held().path(MODEL) is None


def test_a_reader_during_replacements_always_gets_a_whole_one(artifact_copy, tmp_path):
    """One process replaces it over and over; every reading gives one of the two, none "was changed"."""
    other = shutil.copytree(artifact_copy, tmp_path / "other")
    weights = {path: open_artifact(path).manifest.weights_sha256 for path in (artifact_copy, other)}
    stop = threading.Event()
    errors = []

    def replace_it():
        try:
            while not stop.is_set():
                with creating(artifact_copy, force=True) as partial:
                    for name in FILES:
                        shutil.copyfile(other / name, partial / name)
        except BaseException as error:  # noqa: BLE001  told below
            errors.append(error)

    writer = threading.Thread(target=replace_it)
    writer.start()
    try:
        for _ in range(150):
            found = open_artifact(artifact_copy)
            assert found.manifest.weights_sha256 in weights.values()
            assert file_digest(found.graph) == found.manifest.files[MODEL]
    finally:
        stop.set()
        writer.join(timeout=60)
    assert errors == []


def test_one_that_is_replaced_while_it_is_read_is_read_again(artifact_copy, tmp_path, monkeypatch):
    other = shutil.copytree(artifact_copy, tmp_path / "other")
    parse, calls = Manifest.from_bytes, []

    def replacing(content):
        calls.append(content)
        if len(calls) == 1:  # the manifest has been read, the other files have not
            shutil.rmtree(artifact_copy)
            other.rename(artifact_copy)
        return parse(content)

    monkeypatch.setattr(module.Manifest, "from_bytes", replacing)
    open_artifact(artifact_copy)
    assert len(calls) == 2


def hub(folder, place):
    """As the Hugging Face cache, and DVC: each file is a link to one named by its content."""
    (place / "blobs").mkdir(parents=True)
    snapshot = place / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in FILES:
        blob = place / "blobs" / file_digest(folder / name)
        shutil.copyfile(folder / name, blob)
        (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def volume(folder, place):
    """As Kubernetes mounts volumes: links through one that changes at an update."""
    shutil.copytree(folder, place / "..2026_11_29")
    (place / "..data").symlink_to("..2026_11_29")
    for name in FILES:
        (place / name).symlink_to(f"..data/{name}")
    return place


def whole(folder, place):
    place.symlink_to(folder)
    return place


@pytest.mark.parametrize("layout", [hub, volume, whole])
def test_links_open(artifact_copy, tmp_path, layout):
    linked = layout(artifact_copy, tmp_path / "linked")
    opened = open_artifact(linked)
    assert opened.source == str(linked)
    assert opened == open_artifact(linked)
    with RUNNERS["ort-cpu"].open(opened, Options(1)) as runner:
        runner.run(np.zeros((1, 3, opened.image_size, opened.image_size), np.float32))


def test_a_volume_that_is_updated_while_it_is_read(artifact_copy, untrained_artifact, tmp_path, monkeypatch):
    """It is read again, as it is then: none of it is of the one and of the other."""
    place = volume(artifact_copy, tmp_path / "linked")
    shutil.copytree(untrained_artifact(), place / "..2026_11_30")
    parse, calls = Manifest.from_bytes, []

    def updating(content):
        calls.append(content)
        if len(calls) == 1:
            (place / "..new").symlink_to("..2026_11_30")
            (place / "..new").rename(place / "..data")
            (place / "..2026_11_29" / MODEL).unlink()
        return parse(content)

    monkeypatch.setattr(module.Manifest, "from_bytes", updating)
    assert open_artifact(place).manifest == parse((untrained_artifact() / MANIFEST).read_bytes())
    assert len(calls) == 2


def test_a_linked_one_is_replaced_without_touching_what_it_leads_to(artifact_copy, tmp_path):
    linked = hub(artifact_copy, tmp_path / "hub")
    check_replaceable(linked)
    blobs = {path.name: path.read_bytes() for path in (tmp_path / "hub" / "blobs").iterdir()}
    with creating(linked, force=True) as partial:
        (partial / "new").write_bytes(b"new")
    assert [path.name for path in linked.iterdir()] == ["new"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "hub" / "blobs").iterdir()} == blobs
    changing = volume(artifact_copy, tmp_path / "volume")
    assert "'..2026_11_29' in it" in refusal(lambda: check_replaceable(changing))


def test_a_listed_name_never_leads_out_of_the_folder(artifact_copy):
    for name in ("../model.onnx", "/etc/passwd", "a/b", ".."):
        found = refusal(lambda name=name: Manifest.from_bytes(_listing(artifact_copy, name)))
        assert "plain files of its own folder" in found


def _listing(folder, name):
    import hashlib
    import json

    body = json.loads((folder / MANIFEST).read_bytes())
    del body["manifest_sha256"]
    body["files"][name] = "0" * 64
    signed = hashlib.sha256((json.dumps(body, indent=1, sort_keys=True) + "\n").encode()).hexdigest()
    return (json.dumps({**body, "manifest_sha256": signed}, indent=1, sort_keys=True) + "\n").encode()


def test_what_is_wrong_is_told_as_it_is(artifact_copy, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "a.safetensors").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name, found in {
        "none": "found nothing of that name; make one by `export()`",
        "empty": "found a folder without; name one that `export()` made",
        "file": "found a file",
        "a.safetensors": "found a file; make one of a checkpoint by `export()`",
        "link": "found a link to nowhere, where nothing is",
    }.items():
        line = refusal(lambda name=name: open_artifact(tmp_path / name))
        assert line.startswith(f"{tmp_path / name}: an artifact must be a folder with manifest.json, ")
        assert line.endswith(found)
    (artifact_copy / MODEL).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert refusal(lambda: open_artifact(artifact_copy)).endswith("fetch that by: git lfs pull")
    (artifact_copy / MANIFEST).unlink()
    (artifact_copy / MANIFEST).symlink_to("../blob")
    assert "manifest.json is a link to ../blob, where nothing is; fetch" in refusal(
        lambda: open_artifact(artifact_copy)
    )
