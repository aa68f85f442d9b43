"""A training state is replaced whole: a full disk leaves the one before."""

from __future__ import annotations

import os
import resource
import signal

import pytest
import torch
from strategies import refusal

from resnas_deploy.train.state import TrainingState, load_state, save_state


def state(step, size=1000):
    return TrainingState("run", step, {"a": torch.full((size,), float(step))}, {"scale": 4.0})


def test_it_survives_as_a_file(tmp_path):
    save_state(state(3), tmp_path / "s")
    found = load_state(tmp_path / "s", "run")
    assert (found.step, found.scaler) == (3, {"scale": 4.0})
    assert torch.equal(found.tensors["a"], state(3).tensors["a"])


def test_a_disk_that_is_full_leaves_the_state_before(tmp_path):
    """In a child, whose files may not grow beyond a limit."""
    save_state(state(1), tmp_path / "s")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            save_state(state(2, 100_000), tmp_path / "s")
        except Exception as error:
            os._exit(7 if "cannot be written" in str(error) else 8)
        os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert load_state(tmp_path / "s", "run").step == 1
    assert os.listdir(tmp_path) == ["s"]


@pytest.mark.parametrize("run", ["", "other"])
def test_another_runs_state_is_refused(tmp_path, run):
    save_state(state(1), tmp_path / "s")
    assert "must be of the same run" in refusal(lambda: load_state(tmp_path / "s", run))
