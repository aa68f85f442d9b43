from __future__ import annotations

import pytest
import torch
from support.release_files import MINI, State


@pytest.fixture
def state() -> State:
    """The averaged weights of the small network, by the reference's names."""
    return dict(torch.load(MINI, weights_only=True)["model_ema"])
