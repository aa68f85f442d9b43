"""No call changes what holds for the whole process: threads, flags of PyTorch and NumPy, the environment, logging."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from support.places import DEMO, GOLDEN

import resnas_deploy as resnas
from resnas_deploy.processes.quiet import OFF

CAT = GOLDEN / "images" / "cat.jpg"
MINI = {
    "stages": [{"width": 8, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 16}]} for _ in range(3)],
    "classes": 5,
    "image_size": 56,
}


def state() -> dict[str, object]:
    return {
        "threads of torch": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(),
        "TF32": (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
        "sums": torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction,
        "torch's generator": torch.random.get_rng_state().tolist(),
        "NumPy's generator": np.random.get_state()[1].tolist(),
        "NumPy's errors": np.geterr(),
        # The one change that stays: the makers of the packages that were imported are not reported to.
        "environment": {name: value for name, value in os.environ.items() if name not in OFF},
        "folder": str(Path.cwd()),
        "logging": [(name, logging.getLogger(name).level) for name in ("", "resnas_deploy")],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "streams": (sys.stdout, sys.stderr, sys.excepthook),
    }


@contextmanager
def unchanged(capfd):
    """Nothing that holds for the process is changed within the block, and nothing is printed."""
    before, threads = None, torch.get_num_threads()
    torch.set_num_threads(3)  # neither what a call asks for nor what is usual here
    try:
        before = state()
        capfd.readouterr()
        yield
        assert state() == before
        assert capfd.readouterr() == ("", "")
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def mini(tmp_path):
    path = tmp_path / "mini.json"
    path.write_text(json.dumps(MINI))
    return path


def test_exporting_verifying_predicting(tmp_path, mini, capfd):
    with unchanged(capfd):
        made = resnas.export(mini, tmp_path / "made", precision="fp16", batch="1:4", threads=1)
        made.verify(threads=2)
        made.predict(CAT, threads=1)
        made.predict(CAT, runner="torch", threads=2)
        resnas.inspect(made)
        resnas.available_runners()
        resnas.archs()


def test_quantising(tmp_path, capfd):
    with unchanged(capfd):
        resnas.export(checkpoint=DEMO, out=tmp_path / "int8", precision="int8", calibration_images=16, threads=1)


def test_measuring(tmp_path, mini, capfd):
    made = resnas.export(mini, tmp_path / "made", batch=1)
    with unchanged(capfd):
        made.bench(runners=["ort-cpu", "torch"], batches=[1], runs=4, openings=2, threads=1)


def test_where_it_fails(tmp_path, mini, capfd):
    with unchanged(capfd), pytest.raises(resnas.BadInput, match="`align` must be one of"):
        resnas.export(mini, tmp_path / "made", align=3)
    with unchanged(capfd), pytest.raises(resnas.BadInput, match="must be one of"):
        resnas.export(mini, tmp_path / "made", verify_on="tpu")
    assert not (tmp_path / "made").exists()
