"""A disk that fills in the middle of a run: one line, what was saved before is kept, and the run goes on from there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal
from support.small_data import write_folder
from support.training_commands import ENVIRONMENT, resnas

from resnas_deploy.errors import StorageError
from resnas_deploy.training.records.metrics import FILE, Metrics
from resnas_deploy.weights.checkpoint import load

RECIPE = "epochs = 3\nbatch = 8\ngroup = 4\nlearning_rate = 0.5\nwarm_up_epochs = 1\nmasked = false\n"

# `resnas` that fills the disk, whose folder is given, just before the so-manyth call of a function.
PROGRAM = """
import importlib, os, sys
from support.small_data import SPACE
from resnas_deploy.weights.space_files import packaged_spaces
from resnas_deploy.cli.app import main
packaged_spaces()[SPACE.name] = SPACE
folder, place, left = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
def fill():
    descriptor = os.open(f"{folder}/filler", os.O_CREAT | os.O_WRONLY)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)
module, _, path = place.partition(":")
*above, name = path.split(".")
owner = importlib.import_module(f"resnas_deploy.training.{module}")
for part in above:
    owner = getattr(owner, part)
original = getattr(owner, name)
def filling(*arguments, **options):
    global left
    left -= 1
    if not left:
        fill()
    return original(*arguments, **options)
setattr(owner, name, filling)
main()
"""


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"only who may mount file systems can have a small disk: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "calls", "unwritable"),
    [
        pytest.param("loop:save_state", 2, "state.safetensors", id="state"),
        pytest.param("records.metrics:Metrics.add", 2, "", marks=pytest.mark.slow, id="figures"),
        pytest.param("learner:Learner.learn", 9, "", marks=pytest.mark.slow, id="step"),
        pytest.param("records.kept:save", 1, "best.safetensors", marks=pytest.mark.slow, id="best"),
        pytest.param("loop:save", 1, "checkpoint.safetensors", marks=pytest.mark.slow, id="checkpoint"),
    ],
)
def test_a_disk_that_fills(disk, tmp_path, place, calls, unwritable):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    data = write_folder(tmp_path / "data", train=16)
    options = ("--space", "little", "--recipe", tmp_path / "recipe.toml", "--data", data, "--save-every", "4")
    command = [sys.executable, "-c", PROGRAM, str(disk), place, str(calls), "train", "supernet", *map(str, options)]
    done = subprocess.run(
        [*command, "--out", str(disk / "run")], env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    lines = [line for line in done.stderr.splitlines() if "cannot be" in line]
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"resnas: {disk}/run/")
    assert f"{unwritable} cannot be written: " in lines[0]
    assert "No space left on device" in lines[0]
    assert "; free some space or choose another disk" in lines[0]
    assert (disk / "run" / "state.safetensors").exists()
    assert not (disk / "run" / "checkpoint.safetensors").exists()

    (disk / "filler").unlink()
    resnas("train", "supernet", *options, "--out", disk / "run", "--resume")
    resnas("train", "supernet", *options, "--out", tmp_path / "whole")
    whole, went_on = (load(folder / "checkpoint.safetensors").tensors for folder in (tmp_path / "whole", disk / "run"))
    assert all(np.array_equal(whole[name], went_on[name]) for name in whole)


def test_figures_that_cannot_be_written(tmp_path):
    with Metrics(tmp_path, 0) as metrics:
        metrics.add(1, {"loss": 2.0})
        metrics._file.close()
        metrics._file = Path("/dev/full").open("a")  # noqa: SIM115  a disk without any space left; `Metrics` closes it
        message = refusal(lambda: metrics.add(2, {"loss": 1.0}), StorageError)
    assert (
        message
        == f"{tmp_path / FILE} cannot be written: No space left on device; free some space or choose another disk"
    )
    assert [json.loads(line)["step"] for line in (tmp_path / FILE).read_text().splitlines()] == [1]
