"""The reference of verification: what the PyTorch module makes of images, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from resnas_deploy.images.preprocessing import normalised
from resnas_deploy.network.module import build_model
from resnas_deploy.runners.base import Images
from resnas_deploy.runners.torch_settings import exact_on, torch_threads
from resnas_deploy.weights.checkpoint import Checkpoint


@contextmanager
def on_torch(threads: int) -> Iterator[None]:
    """Let PyTorch compute references: with so many threads, and in float32 throughout."""
    with torch_threads(threads), exact_on():
        yield


def reference_logits(checkpoint: Checkpoint, images: Images) -> NDArray[np.float32]:
    """Return the PyTorch module's logits in float32, `(B, classes)`. Levels are normalised for it."""
    with torch.inference_mode():
        taken = torch.from_numpy(normalised(images, checkpoint.preprocessing))
        logits: NDArray[np.float32] = build_model(checkpoint)(taken).numpy()
    return logits
