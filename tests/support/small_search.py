"""What a search of the space `little` is given: a supernet that knows nothing, its data, and a latency model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.mini_space import ANCHOR_S, measured, truth
from support.small_data import SPACE, write_folder

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import PROFILE, regression_of, subnets
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.weights.checkpoint import Task, save, untrained


def write_given(folder: Path) -> dict[str, Path]:
    """Write the supernet and the data, and return them as `search` takes them."""
    task = Task(("blue", "green", "red"), Preprocessing(SPACE.image_size, SPACE.image_size), held_out=2)
    save(replace(untrained(SPACE.widest().full), task=task, space=SPACE), folder / "supernet.safetensors")
    return {"supernet": folder / "supernet.safetensors", "data": write_folder(folder / "data")}


def model_of(anchor_ms: float = 1e3 * ANCHOR_S, machine: str = "", space: SearchSpace = SPACE) -> LatencyModel:
    """A latency model of a machine, or of this one, that is wrong by whatever one likes."""
    setup = choose_setup("ort-cpu", "fp32", 1, 1, "")
    regression = regression_of(measured(subnets(space, PROFILE, 60), truth(space), space))
    return LatencyModel(space, setup, setup.setting(machine), replace(regression, anchor_ms=anchor_ms))
