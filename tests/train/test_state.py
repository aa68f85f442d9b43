"""A training state is replaced whole: a full disk leaves the one before."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from strategies import refusal

from resnas_deploy.train.state import TrainingState, load_state, save_state

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
from resnas_deploy.errors import BadInput
from resnas_deploy.train.state import TrainingState, save_state
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    save_state(TrainingState("run", 2, {"a": torch.zeros(100_000)}, {}), Path(sys.argv[1]))
except BadInput as error:
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
