"""What the library notes is said on stderr, once and in a line; folders of images are taken where images are."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace

import pytest
from support.places import GOLDEN
from support.small_data import SPACE, write_folder

from resnas_deploy.cli.output import notes
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import MeasuredAccuracy, Provenance, Task, load, save, untrained

DATA = GOLDEN / "images"


@pytest.fixture
def photos(tmp_path):
    """A folder of two images, one of them deeper, and what a system left beside them."""
    for name in ("cat.jpg", "deep/rocket.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / name.rpartition("/")[2], tmp_path / "photos" / name)
    (tmp_path / "photos" / "._cat.jpg").write_bytes(bytes(4000))
    (tmp_path / "photos" / "notes.txt").write_text("about")
    return "photos"


NOTE = (
    "resnas: note: ignored in photos: 1 left by a system or a program (._cat.jpg), "
    "1 without the name of an image (notes.txt)"
)


def test_predict_takes_folders(resnas, mini_artifact, photos):
    done = resnas("predict", mini_artifact, photos, "--json")
    assert [item["image"] for item in done.json["images"]] == ["photos/cat.jpg", "photos/deep/rocket.jpg"]
    assert done.err.splitlines() == [NOTE]
    both = resnas("predict", mini_artifact, DATA / "coffee.jpg", photos, photos)
    assert both.out.count("photos/cat.jpg") == 2
    assert both.err.splitlines() == [NOTE]  # once


def test_a_folder_without_images_is_an_error_among_others(resnas, mini_artifact, photos, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").write_bytes(b"")
    done = resnas("predict", mini_artifact, "empty", photos, "--json", code=2)
    assert len(done.json["images"]) == 2
    assert "'empty' must hold images (" in done.json["errors"][0]
    assert "found none (ignored: 1 left by a system or a program (.DS_Store)); name another folder" in done.err


@pytest.fixture
def network(tmp_path):
    """A network of the little data's classes that was never trained, though it says so."""
    path = tmp_path / "network.safetensors"
    arch = SPACE.narrowest().arch
    task = Task(("blue", "green", "red"), Preprocessing(arch.image_size, arch.image_size))
    save(untrained_as_trained(arch, task), path)
    return path


def untrained_as_trained(arch, task):
    return replace(untrained(arch), provenance=Provenance(True, ("trained",)), task=task)


@pytest.mark.parametrize(("rank", "said"), [("0", ["resnas: note: seen"]), ("3", [])])
def test_of_the_processes_of_a_run_the_first_alone_notes(monkeypatch, capsys, rank, said):
    monkeypatch.setenv("RANK", rank)
    with notes():
        logging.getLogger("resnas_deploy.data").info("seen")
    assert capsys.readouterr().err.splitlines() == said


def test_evaluate_notes_what_was_ignored_and_an_accuracy_at_chance(resnas, network, tmp_path):
    data = write_folder(tmp_path / "data", train=2, val=3)
    (data / "val" / "red" / "._0.png").write_bytes(b"")
    done = resnas("evaluate", network, "--data", data)
    assert "of 9 images" in done.out
    ignored, chance = done.err.splitlines()
    assert ignored.endswith("1 left by a system or a program (._0.png)")
    assert "cannot be told from chance: always answering 'blue' gets 33.33 % right" in chance


def test_evaluate_notes_what_is_far_below_what_the_checkpoint_says(resnas, network, tmp_path):
    data = write_folder(tmp_path / "data", train=2, val=3)
    save(replace(load(network), accuracy=MeasuredAccuracy("stripes", 100, 0.9)), network)
    lines = resnas("evaluate", network, "--data", data).err.splitlines()
    assert "far below the 90.00 % that the checkpoint says of itself, on stripes; see whether" in lines[0]


def test_an_export_notes_once_that_classes_have_no_names(resnas, tmp_path):
    data = write_folder(tmp_path / "data", train=2, val=6)
    path = tmp_path / "network.safetensors"
    arch = SPACE.narrowest().arch
    save(untrained_as_trained(arch, None), path)
    options = ("--precision", "int8", "--calibration", data, "--calibration-images", "6", "--data", data)
    done = resnas("export", "--checkpoint", path, *options, "--threads", "1", "--out", "out", code=3)
    lines = done.err.splitlines()
    assert lines[0] == (
        "resnas: note: the network has no names of its classes: those of --data are taken by number, 'blue' for class 0"
    )
    assert len(lines) == 2
    assert "the module itself is at chance" in lines[1]
    assert not (tmp_path / "out").exists()
