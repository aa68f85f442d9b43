"""What a killed run needs to go on: one safetensors file, replaced whole at every save."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resnas_deploy.atomic import atomic_file
from resnas_deploy.errors import BadInput

SCHEMA = 1
_KEY = "resnas-training"


@dataclass(frozen=True)
class TrainingState:
    """A run after some steps. Everything that is random in the next step follows from the seed and its number."""

    run: str  # what the run is, as text: a state continues no other
    step: int  # steps that are done
    tensors: Mapping[str, Tensor]
    scaler: Mapping[str, float]  # of the loss, with fp16


def save_state(state: TrainingState, path: Path) -> None:
    """Write it atomically: a full disk or a kill leaves the one before. Raises `BadInput`."""
    header = {"schema": SCHEMA, "run": state.run, "step": state.step, "scaler": dict(state.scaler)}
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.tensors.items()}
    with atomic_file(path) as partial:
        try:
            save_file(tensors, partial, metadata={_KEY: json.dumps(header)})
        except SafetensorError as error:  # its own text for what the operating system said
            raise BadInput(f"{path} cannot be written: {error}; free some space or choose another disk") from error


def load_state(path: Path, run: str) -> TrainingState:
    """Read the state of a run. Raises `BadInput` where it is damaged or of another run."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} must be the whole state of a training run, found: {error}; start anew") from error
    known = isinstance(header, dict) and isinstance(header.get("step"), int) and isinstance(header.get("scaler"), dict)
    if not known or header.get("schema") != SCHEMA:
        raise BadInput(f"{path} must be the state of a training run of schema {SCHEMA}, found something else")
    if header.get("run") != run:
        raise BadInput(
            f"{path} must be of the same run, found another network, recipe, data or seed; "
            "give the same options as before, or another --out"
        )
    return TrainingState(run, header["step"], tensors, header["scaler"])
