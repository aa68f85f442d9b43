"""`resnas train` and `resnas search`, end to end on small images, and what they refuse."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.places import ROOT
from support.small_data import SPACE, write_folder, write_shards

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.training import input_profile
from resnas_deploy.weights.checkpoint import load, save, untrained
from resnas_deploy.weights.space_files import packaged_spaces

RECIPE = """
batch = 12
group = 4
learning_rate = 4.0
warm_up_epochs = 1
mixing = false
label_smoothing = 0.0

[supernet]
epochs = 6
opening_epochs = 2
held_out = 4

[subnet]
epochs = 2
ema = 0.5

[finetune]
epochs = 1
warm_up_epochs = 0
image_size = 24
"""


def validate(name, document):
    schema = json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text())
    Draft202012Validator(schema).validate(document)


@pytest.fixture(autouse=True)
def little_space(monkeypatch):
    monkeypatch.setitem(packaged_spaces(), SPACE.name, SPACE)


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("pictures") / "data", train=16, val=4)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def first_run(tmp_path_factory):
    """Where the first test that needs a trained supernet leaves it for the others."""
    return tmp_path_factory.mktemp("trained") / "supernet"


@pytest.fixture
def supernet(resnas, images, recipe, first_run, tmp_path):
    """The checkpoint in a whole run's folder, a copy that a test may alter."""
    if not first_run.exists():
        resnas("train", "supernet", "--space", "little", "--recipe", recipe, "--data", images, "--out", first_run)
    return shutil.copytree(first_run, tmp_path / "supernet") / "checkpoint.safetensors"


def test_from_images_to_a_network_that_was_searched(resnas, images, recipe, supernet, tmp_path):
    done = resnas("evaluate", supernet, "--data", images, "--json").json
    assert done["images"] == 12
    assert done["figures"]["top1"]["share"] > 0.5
    lines = [json.loads(line) for line in (supernet.parent / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["epoch"] == 6
    assert {"loss", "learning_rate", "images_per_second", "top1", "top5"} <= lines[-1].keys()

    found = tmp_path / "found"
    options = ("--data", images, "--max-macs", "60%", "--iterations", 2, "--first", 6, "--children", 4)
    options += ("--parents", 3, "--finalists", 2, "--out", found, "--json")
    document = resnas("search", "--supernet", supernet, *options).json
    assert document["evaluated"] == 10
    assert len(document["finalists"]) == 2
    assert all(item["measured_latency"] > 0 for item in document["finalists"])
    winner = ArchSpec.from_json(json.loads((found / "arch.json").read_text()))
    assert load(found / "checkpoint.safetensors").arch == winner
    assert (found / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "finalist" in (found / "report.html").read_text()
    again = resnas("search", "--supernet", supernet, *options, "--resume").json
    assert again["arch"] == document["arch"]
    text = resnas("search", "--supernet", supernet, *options[:-1], "--resume").out
    for start in (
        "next: resnas train subnet --arch {}/arch.json",
        "or:   resnas train subnet --checkpoint {}/checkpoint.",
    ):
        assert start.format(found) in text

    start = ("--checkpoint", found / "checkpoint.safetensors", "--recipe", recipe, "--data", images)
    text = resnas("train", "subnet", *start, "--out", tmp_path / "trained").out
    assert "next: resnas export --checkpoint" in text
    larger = resnas("train", "finetune", *start, "--out", tmp_path / "larger", "--json").json
    assert larger["arch"]["image_size"] == 24
    out = tmp_path / "artifact"
    resnas("export", "--checkpoint", tmp_path / "larger" / "checkpoint.safetensors", "--out", out)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["class_names"] == ["blue", "green", "red"]
    assert manifest["weights"] == "trained"


def test_what_limits_a_run_is_measured_and_nothing_is_left(resnas, recipe, images, tmp_path, monkeypatch):
    monkeypatch.setattr(input_profile, "profile_input", partial(input_profile.profile_input, seconds=0.1))
    options = ("--recipe", recipe, "--data", images, "--out", tmp_path / "run", "--workers", 0, "--profile-input")
    document = resnas("train", "supernet", "--space", "little", *options, "--json").json
    assert document["limit"] in ("loader", "device")
    assert document["loader_images_per_second"] > 0
    assert document["workers"] == 0
    text = resnas("train", "supernet", "--space", "little", *options).out
    assert "is the limit, the " in text or "as fast as each other" in text
    assert "next:" not in text
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()  # a folder of something else, which a run would be refused
    (tmp_path / "run" / "notes.txt").touch()
    assert resnas("train", "supernet", "--space", "little", *options).out
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_the_status_of_a_run_and_its_report(resnas, supernet, tmp_path):
    folder, plot = supernet.parent, tmp_path / "curves.html"
    text = resnas("train", "status", folder, "--plot", plot).out
    assert f"{folder}: finished, epoch 6 of 6, step 18 of 18" in text
    assert "top-1, narrowest subnet" in text
    assert plot.read_text().count("<svg") == 1
    assert "exists; choose another --plot" in resnas("train", "status", folder, "--plot", plot, code=2).err
    document = resnas("train", "status", folder, "--json").json
    assert (document["state"], document["epoch"], len(document["curves"])) == ("finished", 6, 6)
    validate("train-status", document)
    assert "supernet of the space little" in (folder / "report.html").read_text()
    error = resnas("train", "status", tmp_path, code=2).err
    assert (
        error == f"resnas: {tmp_path} must be the folder of a training run, found none of its files; name its --out\n"
    )


def test_a_search_by_latency_says_how_to_profile(resnas, supernet, images, tmp_path):
    error = resnas(
        "search", "--supernet", supernet, "--data", images, "--max-latency", "1ms", "--out", tmp_path / "found",
        "--store", tmp_path / "latency.sqlite", code=2,
    ).err  # fmt: skip
    assert "run: resnas latency profile --space little --runner ort-cpu --precision fp32 --batch 1" in error
    assert not (tmp_path / "found").exists()


def test_a_limit_that_nothing_meets(resnas, supernet, images, tmp_path):
    options = ("--data", images, "--out", tmp_path / "found")
    error = resnas("search", "--supernet", supernet, "--max-macs", "1", *options, code=2).err
    assert "must have subnets with MACs of at most 1e-09 G, found from" in error
    assert not (tmp_path / "found").exists()
    assert (
        "no limit given: the widest subnet would always win"
        in resnas("search", "--supernet", supernet, *options, code=2).err
    )


def test_workers_that_there_are_not_are_refused_before_any_work(resnas, supernet, images, tmp_path):
    options = ("--data", images, "--max-macs", "60%", "--workers", "dask", "--out", tmp_path / "found")
    error = resnas("search", "--supernet", supernet, *options, code=2).err
    assert "--workers must be ray or ray:ADDRESS, found 'dask'" in error
    assert not (tmp_path / "found").exists()


def test_another_networks_checkpoint_is_no_supernet(resnas, images, tmp_path):
    path = tmp_path / "other.safetensors"
    save(untrained(SPACE.narrowest().arch), path)
    error = resnas(
        "search", "--supernet", path, "--data", images, "--max-macs", "1G", "--out", tmp_path / "found", code=2
    ).err
    assert "must be a supernet that has its search space in it, or of one of tiny, small, demo" in error


def test_other_classes_are_refused(resnas, supernet, tmp_path):
    data = write_folder(tmp_path / "data")
    for split in ("train", "val"):
        (data / split / "red").rename(data / split / "rot")
    error = resnas("evaluate", supernet, "--data", data, code=2).err
    assert "found 'rot'; its classes are 'blue', 'green', 'red', by name or by number from 0 to 2" in error
    error = resnas("evaluate", supernet, "--data", "demo", code=2).err
    assert f"every label must be a class of {supernet}, found 'T-shirt/top'; its classes are" in error


def test_a_run_is_not_overwritten(resnas, supernet, images, recipe):
    options = ("--space", "little", "--recipe", recipe, "--data", images, "--out", supernet.parent)
    before = supernet.read_bytes()
    assert "exists; give --resume to go on with it" in resnas("train", "supernet", *options, code=2).err
    resnas("train", "supernet", *options, "--resume")
    assert supernet.read_bytes() == before


def test_another_recipe_does_not_go_on_with_a_run_and_leaves_it(resnas, supernet, images, recipe):
    options = ("--space", "little", "--recipe", recipe, "--data", images, "--out", supernet.parent)
    before = {path.name: path.read_bytes() for path in supernet.parent.iterdir() if path.is_file()}
    error = resnas("train", "supernet", *options, "--set", "epochs=7", "--resume", code=2).err
    assert "must be of the same run, found another network, space, recipe, data or seed" in error
    assert {path.name: path.read_bytes() for path in supernet.parent.iterdir() if path.is_file()} == before


def test_unreadable_images(resnas, recipe, tmp_path):
    data = write_folder(tmp_path / "data")
    (data / "train" / "red" / "0.png").write_bytes(b"broken")
    (data / "val" / "red" / "0.png").write_bytes(b"")
    options = ("--space", "little", "--recipe", recipe, "--data", data, "--set", "epochs=2", "--set", "held_out=0")
    error = resnas("train", "supernet", *options, "--out", tmp_path / "a", code=2).err
    assert "0.png' must be an image" in error
    assert "or give --skip-unreadable" in error
    done = resnas("train", "supernet", *options, "--out", tmp_path / "b", "--skip-unreadable")
    assert "could not be read: " in done.err
    assert "of 5 validation images; 1 more could not be read" in done.out


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("subnet", (), "one of --arch and --checkpoint, found neither"),
        ("subnet", ("--arch", "small", "--checkpoint", "x"), "one of --arch and --checkpoint, found both"),
        ("subnet", ("--checkpoint", "nowhere"), "nowhere"),
        ("supernet", ("--set", "speed=1"), "a setting has the unknown key 'speed'; known are epochs, batch,"),
        ("supernet", ("--set", "speed"), "a setting must be KEY=VALUE, found 'speed'"),
        ("supernet", ("--set", "group=24"), "batch must be a multiple of group = 24, found 64"),
        ("supernet", ("--set", "held_out=800"), "must have more than the 800 images that are held out, found 800"),
        ("supernet", ("--recipe", "nowhere"), "a recipe must be tiny, small, medium, demo or a file, found 'nowhere'"),
        (
            "supernet",
            ("--data", "nowhere"),
            "--data must be demo or a folder with train/ and val/, found no nowhere/train",
        ),
        ("supernet", ("--track", "comet"), "--track must be one of tensorboard, mlflow, wandb, found 'comet'"),
        ("supernet", ("--device", "cuda:7"), "--device must be cpu, cuda or cuda:N"),
        ("supernet", ("--space", "huge"), "--space must be one of tiny, small, demo"),
    ],
)
def test_wrong_use_is_one_line_before_any_work(resnas, tmp_path, command, arguments, said):
    error = resnas("train", command, "--data", "demo", *arguments, "--out", tmp_path / "run", code=2).err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_shards_are_data_too(resnas, recipe, tmp_path):
    data = write_shards(tmp_path / "data")
    options = ("--recipe", recipe, "--data", data, "--set", "epochs=1", "--set", "held_out=1")
    done = resnas("train", "supernet", "--space", "little", *options, "--out", tmp_path / "run", "--json").json
    assert (done["pictures"], done["skipped"]) == (18, [])
    trained = load(Path(done["checkpoint"]))
    assert trained.task.class_names == ("red", "green", "blue")
    assert trained.task.held_out == 1
    assert "on data, 15 images, seed 0" in trained.provenance.history[-1]  # 3 of 18 held out
    again = resnas("train", "supernet", "--space", "little", *options, "--out", tmp_path / "run", "--resume").out
    assert "supernet of the space little, 1 epoch on 15 images\n" in again
