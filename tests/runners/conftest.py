"""Networks, their logits and refusals, for the tests of the runners."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners import devices as cuda
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

OPTIONS = Options(threads=2)
H100 = "NVIDIA H100 80GB HBM3"


@pytest.fixture(scope="session")
def artifact(mini_artifact):
    """A verified fp32 network, batch 1:8, 112 pixels, 10 classes."""
    return open_artifact(mini_artifact)


@pytest.fixture(scope="session")
def images(artifact):
    size = artifact.image_size
    return np.random.default_rng(0).standard_normal((8, 3, size, size), dtype=np.float32)


@pytest.fixture(scope="session")
def expected(artifact, images):
    """What PyTorch computes from the weights."""
    with RUNNERS["torch"].open(artifact, OPTIONS) as runner:
        return runner.run(images)[OUTPUT]


@pytest.fixture(scope="session")
def near():
    """A function: fails unless logits are equal within a tolerance relative to the largest."""

    def check(found, expected, tolerance):
        error = np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()
        assert error <= tolerance, f"error {error:.2e} of the largest logit, tolerance {tolerance:.0e}"

    return check


@pytest.fixture
def hide(monkeypatch):
    """A function that makes packages look as if they were not installed."""
    find = importlib.util.find_spec

    def make(*hidden):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find(name, *rest)
        )

    return make


@pytest.fixture
def with_gpus(monkeypatch):
    """A function that makes GPUs of these names look as if they were here."""
    return lambda *names: monkeypatch.setattr(cuda, "gpus", lambda: names)


@pytest.fixture(scope="session")
def unavailable():
    """A function: the message of the `NotAvailable` that a call must raise, one line."""

    def check(call):
        with pytest.raises(NotAvailable) as caught:
            call()
        assert caught.value.exit_code == 5
        message = str(caught.value)
        assert message.isprintable(), repr(message)
        return message

    return check
