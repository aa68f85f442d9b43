"""A search that scores on labelled images of the user's own, what it says of them, and what it would take."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace

import pytest
from support.checks import check_schema
from support.small_data import SPACE, write_folder

from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.searching.held_out import HeldOutSource, in_random_order
from resnas_deploy.searching.pool import ScorerSource
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.checkpoint import Task, load, save, untrained

FEW = ("--max-macs", "70%", "--iterations", 2, "--first", 6, "--children", 4, "--parents", 3, "--finalists", 1)
NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def supernets(tmp_path_factory):
    """One that was imported, with names of its classes and without."""
    folder = tmp_path_factory.mktemp("supernets")
    nameless = replace(untrained(SPACE.widest().full), space=SPACE)
    save(nameless, folder / "nameless.safetensors")
    task = Task(NAMES, Preprocessing.for_image_size(SPACE.image_size))
    save(replace(nameless, task=task), folder / "named.safetensors")
    return folder


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    """Class folders of 5 images each, whose names sort otherwise than the network's."""
    return write_folder(tmp_path_factory.mktemp("data"), train=1, val=5) / "val"


@pytest.fixture
def flat(val, tmp_path):
    """The same in one folder with a list."""
    folder, lines = tmp_path / "flat", ["name,class"]
    folder.mkdir()
    for path in sorted(val.glob("*/*.png")):
        name = f"{path.parent.name}-{path.name}"
        shutil.copy(path, folder / name)
        lines.append(f"{name},{NAMES.index(path.parent.name)}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def scores(folder):
    """The scores of a search by its subnets."""
    path = folder / "search.sqlite"
    with sqlite3.connect(path) as database:
        (identity,) = database.execute("SELECT identity FROM search").fetchone()
    database.close()
    with SearchStore(path, identity) as store:
        return {item.subnet: item.score for item in store.candidates()}


@pytest.mark.slow
def test_folders_and_lists_of_the_same_images_give_the_same_scores(resnas, supernets, val, flat, tmp_path):
    supernet = supernets / "named.safetensors"
    done = resnas("search", "--supernet", supernet, "--score-on", val, *FEW, "--out", tmp_path / "one")
    assert f"note: whether the supernet's training saw images of {val} is not known" in done.err
    assert "note: 10 candidates x 15 images: at most 0 s, at " in done.err
    assert "--data FOLDER --out trained" in done.out
    resnas("search", "--supernet", supernet, "--score-on", flat, *FEW, "--out", tmp_path / "two")
    one, two = scores(tmp_path / "one"), scores(tmp_path / "two")
    assert len(one) == len(two) == 10
    common = [subnet for subnet in one if subnet in two and not (one[subnet].stopped or two[subnet].stopped)]
    assert len(common) >= 6
    assert all(one[subnet] == two[subnet] for subnet in common)
    checkpoint = load(supernet)
    images = HeldOutSource(score_on=str(val)).images(checkpoint, supernet)
    assert images.class_names == NAMES
    alone = ScorerSource(checkpoint, in_random_order(images), 4, "cpu")()
    assert all(alone.score(subnet) == one[subnet] for subnet in common)


def test_so_many_images_of_each_class_and_no_names(resnas, supernets, val, tmp_path):
    supernet, out = supernets / "nameless.safetensors", tmp_path / "found"
    options = ("--supernet", supernet, "--score-on", val, "--held-out", 2, *FEW, "--out", out)
    done = resnas("search", *options)
    assert "has no names of its classes: labels are taken in their order, 'blue' for class 0" in done.err
    assert "10 candidates x 6 images" in done.err
    assert {score.seen for score in scores(out).values() if not score.stopped} == {6}
    assert "candidates x" not in resnas("search", *options, "--resume").err  # nothing is left
    other = (*options[:5], 3, *options[6:])
    assert "must be of the same search" in resnas("search", *other, "--resume", code=2).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "there must be one of --data, which the supernet was trained on, and --score-on, a folder of labelled"),
        (("--data", "demo", "--score-on", "val"), "found both"),
        (("--data", "demo", "--held-out", 3), "--held-out must be a number of images of each class from 1, of the fol"),
        (("--score-on", "nowhere"), "--score-on must be a folder of labelled images, found 'nowhere'; check the path"),
        (("--score-on", "val", "--held-out", 6), "the class 'red' must have the 6 images of --held-out, found 5"),
        (("--score-on", "other"), "every label must be a class of s.safetensors, found 'hat'; its classes are 'red', "),
        (("--data", "."), "must have been trained with held_out images of each class, found none; name labelled"),
    ],
)
def test_images_that_cannot_be_scored_on(refused, supernets, val, tmp_path, options, said):
    shutil.copy(supernets / "named.safetensors", tmp_path / "s.safetensors")
    for split in ("val", "train"):
        for name in NAMES:
            shutil.copytree(val / name, tmp_path / split / f"{NAMES.index(name)}-{name}")
    shutil.copytree(val / "red", tmp_path / "other" / "red")
    shutil.copytree(val / "blue", tmp_path / "other" / "hat")
    assert said in refused("search", "--supernet", "s.safetensors", *options, *FEW, "--out", "found")


def test_a_plan_tells_what_a_search_would_take_and_writes_nothing(resnas, supernets, val, tmp_path):
    supernet = supernets / "named.safetensors"
    options = ("--supernet", supernet, "--score-on", val, "--max-macs", "70%", "--out", tmp_path / "found", "--plan")
    document = resnas("search", *options, "--json").json
    check_schema("search-plan", document)
    assert (document["candidates"], document["images"], document["workers"]) == (3350, 15, 1)
    assert document["bytes"]["images"] == 15 * 3 * SPACE.image_size**2
    seconds = document["seconds"]
    assert seconds["scoring"] == pytest.approx(3350 * 15 / document["images_per_s"])
    assert seconds["total"] == seconds["scoring"] + seconds["decoding"] > 0
    text = resnas("search", *options, "--evaluate-fully").out
    assert "a search of the space little would take, until its finalists" in text
    assert "3,350" in text
    assert "less where hopeless" not in text
    assert not (tmp_path / "found").exists()
    error = resnas("search", *options[:5], "1", *options[6:], code=2).err
    assert "must have subnets with MACs of at most" in error
