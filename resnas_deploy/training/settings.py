"""What a training run is made of."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.weights.checkpoint import Checkpoint

STATE, CHECKPOINT, RECIPE = "state.safetensors", "checkpoint.safetensors", "recipe.toml"  # in the run's folder


@dataclass(frozen=True)
class Run:
    """What to train, on what, and where to."""

    arch: ArchSpec  # the network, or the supernet
    space: SearchSpace | None  # of the supernet
    recipe: Recipe
    data: str  # the name of the data
    train: LabelledImages
    val: LabelledImages
    preprocessing: Preprocessing
    seed: int
    folder: Path
    start: Checkpoint | None = None  # the weights to start from
    workers: int = 0
    skip_unreadable: bool = False
    save_every: int = 0  # steps; 0: at the end of each epoch alone

    @property
    def identity(self) -> str:
        """All that the weights depend on."""
        what = {
            "arch": self.arch.fingerprint,
            "space": self.space.name if self.space else None,
            "recipe": asdict(self.recipe),
            "data": [self.data, len(self.train.labels), list(self.train.class_names)],
            "seed": self.seed,
            "start": self.start.digest if self.start else None,
        }
        return json.dumps(what, sort_keys=True)
