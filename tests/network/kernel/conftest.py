"""Fixtures of the kernel's tests. All of them need triton."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.places import ROOT

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.weights.checkpoint import Checkpoint, untrained

LITTLE = ArchSpec(
    (Stage(8, (Block(1, 8, 16),)), Stage(12, (Block(2, 4, 16),)), Stage(16, (Block(1, 8, 24),))),
    classes=5,
    image_size=56,
)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Let triton compile here, and leave nothing in the home folder."""
    pytest.importorskip("triton", reason="triton is not installed")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "triton"))


@pytest.fixture(scope="session")
def checkpoint():
    """A little network whose every parameter is random: no bias or shift is 0, no scale 1."""
    made, random = untrained(LITTLE), np.random.default_rng(0)

    def altered(name, tensor):
        if name.endswith("running_var"):
            return tensor
        return (tensor + 0.3 * random.standard_normal(tensor.shape)).astype(np.float32)

    return Checkpoint(
        made.arch, {name: altered(name, tensor) for name, tensor in made.tensors.items()}, made.provenance
    )


@pytest.fixture
def program(tmp_path_factory):
    """A function: run a program of this folder in a process of its own; its standard output."""

    def run(name):
        cache = str(tmp_path_factory.getbasetemp() / "triton")
        done = subprocess.run(
            [sys.executable, str(Path(__file__).parent / name)],
            env={**os.environ, "TRITON_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
