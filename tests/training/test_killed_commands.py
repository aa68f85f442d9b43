"""Whole commands that are killed wherever they are, start to end, go on to what they would have made."""

from __future__ import annotations

import json
import shutil
import time

import pytest
from support.small_data import write_folder
from support.training_commands import interrupted, killed_after, resnas

from resnas_deploy.weights.checkpoint import load

KILLS = 8
RECIPE = (
    "epochs = 4\nbatch = 8\ngroup = 4\nlearning_rate = 1.0\nwarm_up_epochs = 1\nheld_out = 4\nema = 0.9\n"
    "masked = false\n"
)


TIMED = ("time", "images_per_second", "waiting")  # of a line: what no two runs have in common


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("pictures") / "data", train=16)


@pytest.fixture(scope="module")
def training(data, tmp_path_factory):
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    recipe.write_text(RECIPE)
    return ("train", "supernet", "--space", "little", "--recipe", recipe, "--data", data, "--save-every", 2)


@pytest.fixture(scope="module")
def supernet(training, tmp_path_factory):
    """Its checkpoint, and how long the whole command takes."""
    out, began = tmp_path_factory.mktemp("supernet") / "run", time.monotonic()
    resnas(*training, "--out", out)
    return out / "checkpoint.safetensors", time.monotonic() - began


def kill_often(seconds, out, *arguments):
    """Kill at moments spread over the time that the command takes, going on each time, until it is done.

    On a machine that has become faster since that time was measured, it is done too soon, and begun anew.
    """
    for _ in range(5):
        moments = [seconds * (number + 0.5) / KILLS for number in range(KILLS)]
        if sum(killed_after(moment, *arguments, "--out", out, "--resume") for moment in moments) >= KILLS // 2:
            return
        shutil.rmtree(out)
        seconds /= 2
    pytest.fail("the command was always done before it was killed")


@pytest.mark.slow
def test_training(training, supernet, tmp_path):
    whole, seconds = supernet
    out = tmp_path / "run"
    kill_often(seconds, out, *training)
    resnas(*training, "--out", out, "--resume")
    assert (out / whole.name).read_bytes() == whole.read_bytes()
    lines = [
        [{key: value for key, value in json.loads(line).items() if key not in TIMED} for line in text]
        for text in ((folder / "metrics.jsonl").read_text().splitlines() for folder in (out, whole.parent))
    ]
    assert lines[0] == lines[1]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_ctrl_c_says_how_to_go_on(training, tmp_path):
    out = tmp_path / "run"
    lines = interrupted(out / "state.safetensors", *training, "--set", "epochs=1000", "--out", out)
    assert lines[-2:] == [
        f"resnas: note: {out} keeps what was saved; the same command with --resume goes on from there",
        "resnas: interrupted",
    ]


SEARCH = ("--max-macs", "70%", "--iterations", 3, "--first", 12, "--children", 6, "--parents", 4, "--finalists", 2)


@pytest.mark.slow
def test_search(data, supernet, tmp_path):
    search = ("search", "--supernet", supernet[0], "--data", data, *SEARCH)
    began = time.monotonic()
    resnas(*search, "--out", tmp_path / "whole")
    seconds = time.monotonic() - began
    kill_often(seconds, tmp_path / "cut", *search)
    resnas(*search, "--out", tmp_path / "cut", "--resume")
    whole, cut = (load(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "cut"))
    assert whole.digest == cut.digest


@pytest.mark.slow
def test_rays_workers_find_the_same(data, supernet, tmp_path):
    pytest.importorskip("ray")
    search = ("search", "--supernet", supernet[0], "--data", data, *SEARCH, "--json")
    here, there = (
        json.loads(resnas(*search, *workers, "--out", tmp_path / name))
        for name, workers in (("here", ()), ("there", ("--workers", "ray")))
    )
    assert here["arch"] == there["arch"]
    assert here["evaluated"] == there["evaluated"]
