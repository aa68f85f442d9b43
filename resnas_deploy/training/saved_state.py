"""What a killed run needs to go on: one safetensors file, replaced whole at every save."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from resnas_deploy.errors import BadInput, StorageError, shown
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.reading import check_tensors, parse_json

SCHEMA = 1
OPTIONAL = "adam/"  # begins the names of what the optimiser remembers
_KEY = "resnas-training"
_LARGEST = 2.0**126  # of a scaler's numbers: its scale doubles, in float32


@dataclass(frozen=True)
class TrainingState:
    """A run after some steps. Everything that is random in the next step follows from the seed and its number."""

    run: str  # what the run is, as text: a state continues no other
    step: int  # steps that are done
    tensors: Mapping[str, Tensor]
    scaler: Mapping[str, float]  # of the loss, with fp16


def save_state(state: TrainingState, path: Path) -> None:
    """Write it atomically: a full disk or a kill leaves the one before. Raise `BadInput`."""
    header = {"schema": SCHEMA, "run": state.run, "step": state.step, "scaler": dict(state.scaler)}
    tensors = {name: tensor.detach().contiguous() for name, tensor in state.tensors.items()}
    with atomic_file(path) as partial:
        try:
            save_file(tensors, partial, metadata={_KEY: json.dumps(header)})
        except SafetensorError as error:  # its own text for what the operating system said
            raise StorageError(f"{path} cannot be written: {error}; free some space or choose another disk") from error


def load_state(path: Path, run: str, wanted: Mapping[str, Tensor], steps: int) -> TrainingState:
    """Read the state of a run of so many steps. Raise `BadInput` where it is damaged, impossible or of another run.

    `wanted` are tensors like those that it may hold; what the optimiser remembers may be missing, as before its first
    step.
    """
    try:
        check_tensors(path)
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {}).get(_KEY, "null"), "its metadata")
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  not a dict
    except (BadInput, SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} must be the whole state of a training run, found: {error}; start anew") from None
    if not isinstance(header, dict) or header.get("schema") != SCHEMA:
        raise BadInput(f"{path} must be the state of a training run of schema {SCHEMA}, found something else")
    if header.get("run") != run:
        raise BadInput(
            f"{path} must be of the same run, found another network, space, recipe, data or seed, or other weights to "
            "start from; give the same options as before, or another `out`"
        )
    problem = _other_shapes(shapes, wanted)  # looked at before any is read, which may take gigabytes
    if not problem:
        problem = _impossible(header, steps)
    if not problem:
        tensors = _tensors(path)
        problem = _other_values(tensors, wanted)
    if problem:
        raise BadInput(f"{path} must be a state that a training run wrote, found {problem}; start anew")
    return TrainingState(run, header["step"], tensors, header["scaler"])


def run_of(path: Path) -> str:
    """Return which run a state is of, as text; nothing where that cannot be read, which `load_state` says why."""
    try:
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {}).get(_KEY, "null"), "its metadata")
    except (BadInput, SafetensorError, OSError, ValueError):
        return ""
    run = header.get("run") if isinstance(header, dict) else None
    return run if isinstance(run, str) else ""


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise BadInput(f"{path} must be the whole state of a training run, found: {error}; start anew") from None


def _other_shapes(found: Mapping[str, list[int]], wanted: Mapping[str, Tensor]) -> str:
    """Return what is not of this network, or nothing."""
    for name, shape in found.items():
        if name not in wanted or tuple(shape) != tuple(wanted[name].shape):
            return f"the tensor {shown(name)} of the shape {shown(tuple(shape))}, which is not of this network"
    missing = [name for name in wanted if name not in found and not name.startswith(OPTIONAL)]
    return f"no tensor {missing[0]}" if missing else ""


def _impossible(header: Mapping[str, object], steps: int) -> str:
    """Return what no run of so many steps says of itself, or nothing."""
    step, scaler = header.get("step"), header.get("scaler")
    if type(step) is not int or not 0 <= step <= steps:
        return f"{shown(step)} steps of a run of {steps}"
    numbers = scaler.values() if isinstance(scaler, dict) else [None]
    if not all(isinstance(value, int | float) and 0 <= value <= _LARGEST for value in numbers):
        return f"the scaler {shown(scaler)}"
    return ""


def _other_values(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    for name, tensor in found.items():
        if tensor.dtype != wanted[name].dtype:
            return f"the tensor {name} as {tensor.dtype} instead of {wanted[name].dtype}"
        if not bool(torch.isfinite(tensor).all()):
            return f"NaN or infinity in the tensor {name}"
    return ""
