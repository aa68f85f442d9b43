"""A training state is replaced whole: a full disk leaves the one before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from support.checks import refusal

from resnas_deploy.training.saved_state import TrainingState, load_state, save_state

WANTED = {"a": torch.zeros(1000)}


def state(step):
    return TrainingState("run", step, {"a": torch.full((1000,), float(step))}, {"scale": 4.0})


def test_it_survives_as_a_file(tmp_path):
    save_state(state(3), tmp_path / "s")
    found = load_state(tmp_path / "s", "run", WANTED, 10)
    assert (found.step, found.scaler) == (3, {"scale": 4.0})
    assert torch.equal(found.tensors["a"], state(3).tensors["a"])


LIMITED = """
import resource, signal, sys
from pathlib import Path
import torch
from resnas_deploy.errors import StorageError
from resnas_deploy.training.saved_state import TrainingState, save_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    save_state(TrainingState("run", 2, {"a": torch.zeros(100_000)}, {}), Path(sys.argv[1]))
except StorageError as error:
    print(error)
"""


def test_a_disk_that_is_full_leaves_the_state_before(tmp_path):
    save_state(state(1), tmp_path / "s")
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "s")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert f"{tmp_path / 's'} cannot be written" in done.stdout, done.stderr
    assert load_state(tmp_path / "s", "run", WANTED, 10).step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("run", ["", "other"])
def test_another_runs_state_is_refused(tmp_path, run):
    save_state(state(1), tmp_path / "s")
    assert "must be of the same run" in refusal(lambda: load_state(tmp_path / "s", run, WANTED, 10))


def saved(path, header=None, tensors=None, **changes):
    """A state with another header, under its own checksum: the format has none."""
    body = {"schema": 1, "run": "run", "step": 1, "scaler": {"scale": 4.0}} | changes
    save_file(tensors or {"a": torch.zeros(1000)}, path, metadata={"resnas-training": header or json.dumps(body)})
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": -1}, "found -1 steps of a run of 10"),
        ({"step": 11}, "found 11 steps of a run of 10"),
        ({"step": 1.0}, "found 1.0 steps"),
        ({"step": True}, "found True steps"),
        ({"step": None}, "found None steps"),
        ({"scaler": {"scale": "x"}}, "found the scaler"),
        ({"scaler": {"scale": -1}}, "found the scaler"),
        ({"scaler": {"scale": 1e300}}, "found the scaler"),
        ({"scaler": [1]}, "found the scaler"),
        ({"scaler": None}, "found the scaler"),
        ({"schema": 2}, "of schema 1, found something else"),
        ({"header": "[" * 10_000}, "nested too deeply"),
        ({"header": '{"schema": 1, "step": NaN}'}, "the number NaN"),
        ({"header": "9" * 5000}, "a number of 5000 digits"),
        ({"tensors": {"b": torch.zeros(1000)}}, "found the tensor 'b' of the shape (1000,)"),
        ({"tensors": {"a": torch.zeros(999)}}, "found the tensor 'a' of the shape (999,)"),
        ({"tensors": {"adam/a/step": torch.zeros(())}}, "found no tensor a"),
        ({"tensors": {"a": torch.zeros(1000, dtype=torch.float64)}}, "found the tensor a as torch.float64"),
        ({"tensors": {"a": torch.full((1000,), float("nan"))}}, "found NaN or infinity in the tensor a"),
    ],
    ids=str,
)
def test_a_state_that_no_run_wrote(tmp_path, changes, said):
    path = saved(tmp_path / "s", **changes)
    wanted = WANTED | {"adam/a/step": torch.zeros(())}
    assert said in refusal(lambda: load_state(path, "run", wanted, 10))


def test_a_pipe_in_its_place(tmp_path):
    os.mkfifo(tmp_path / "s")
    assert "found a pipe or a device" in refusal(lambda: load_state(tmp_path / "s", "run", WANTED, 10))
