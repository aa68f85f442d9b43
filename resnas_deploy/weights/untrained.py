"""Seeded random weights: enough to emit, verify and measure a network, and no more."""

from __future__ import annotations

import math

import numpy as np

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.weights.checkpoint import Array, Checkpoint, Provenance
from resnas_deploy.weights.schema import Shape, tensor_shapes


def untrained(arch: ArchSpec, seed: int = 0) -> Checkpoint:
    """A checkpoint of random weights, the same for the same seed.

    Weights have variance 1 / fan-in, so that activations keep their size through the depth. Norms, biases, running
    statistics, tokens and positions are random too: every folding rule then changes the numbers that verification sees.
    """
    rng = np.random.default_rng(seed)
    tensors = {name: _values(name, shape, rng) for name, shape in tensor_shapes(arch).items()}
    return Checkpoint(arch, tensors, Provenance(False, (f"untrained: random weights of seed {seed}",)))


def _values(name: str, shape: Shape, rng: np.random.Generator) -> Array:
    centre, deviation = 0.0, 0.1
    if name.endswith("weight") and len(shape) > 1:
        deviation = 1 / math.sqrt(math.prod(shape[1:]))
    elif name.endswith(("weight", "running_var")):
        centre = 1.0
    values = rng.random(shape, dtype=np.float32)  # uniform: a third of the time of normal, and as good here
    values -= np.float32(0.5)
    values *= np.float32(deviation * math.sqrt(12))
    values += np.float32(centre)
    return values
