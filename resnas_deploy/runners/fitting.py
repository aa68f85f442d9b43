"""Whether an engine that a runner is handed is for this GPU, and what it computes in, by its identity."""

from __future__ import annotations

from typing import Any

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.tf32 import computed


def computed_by(precision: str, engine: str, made_of: Any, *, asked: bool) -> str:
    """Return what an engine computes in. Raise `BadInput` where TF32 is asked for and the engine is built without it.

    An engine that does not say was built before that could be chosen: then TensorRT had TF32 on.
    """
    rounds = bool(made_of.get("tf32", True))
    if asked and not rounds:
        raise BadInput(f"`tf32` must be in the engine that runs, found {engine} built without; build one with `tf32`")
    return computed(precision, tf32=rounds)


def check_gpu(engine: str, made_of: Any, device: str) -> None:
    """Raise `BadInput` where an engine was built for a GPU of another name, and for it alone."""
    wanted, here = str(made_of["device"]), device.partition(" ")[2]
    if wanted and wanted != here and not made_of.get("hardware_compatibility"):
        raise BadInput(
            f"the engine {engine} must be for the GPU that runs it, {device}, found one for {wanted}; "
            "build it here by `build()`"
        )
