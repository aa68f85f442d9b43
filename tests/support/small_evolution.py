"""A supernet of the space `little` that has just begun to learn, so that its wider subnets are the better ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from support.small_data import RECIPE, SPACE, alone, write_folder

from resnas_deploy.training.loop import train
from resnas_deploy.training.run import TrainingOptions, supernet_run

LEARNING = replace(
    RECIPE,
    epochs=3,
    batch=16,
    learning_rate=0.2,
    drop_path=0.0,
    label_smoothing=0.1,
    opening_epochs=0,
    held_out=20,
    mixing=False,
    crop=0.9,
)


def write_learning(folder: Path) -> dict[str, Any]:
    """Train it, and return what `space.evolve` takes to move some of its ranges, in a minute or less."""
    data = write_folder(folder / "data", train=40)
    run = supernet_run(SPACE, TrainingOptions(folder / "net", str(data), LEARNING, workers=0))
    run.folder.mkdir()
    found = train(run, alone())
    (folder / "recipe.toml").write_text(LEARNING.to_toml())
    return {
        "supernet": found.path,
        "data": data,
        "max_macs": "100%",
        "subnets": 60,
        "rounds": 1,
        "epochs": 1,
        "recipe": folder / "recipe.toml",
    }
