"""Checkpoints of a run that is under way, in `checkpoints/` of its folder: the best, and some of every N-th epoch.

`best.safetensors` is of the epoch with the highest figure of merit: a network's top-1 on the validation split; a
supernet's mean top-1 over fixed subnets, since its widest subnet alone says little of those that a search compares.
`epoch-NNN.safetensors` are of every `keep_every`-th epoch of the recipe, the latest `keep` of them. Each is a
checkpoint like the final one, so that it can be evaluated, searched in and exported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from resnas_deploy.files.atomic import write_errors
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.records.metrics import lines_of
from resnas_deploy.weights.checkpoint import Checkpoint, save

FOLDER, BEST = "checkpoints", "best.safetensors"
_EPOCH = re.compile(r"epoch-(\d+)\.safetensors")


class Kept:
    """What is kept of a run in `folder`. `merit` is the name of the figure, of which more is better.

    A run that goes on after `first_step` steps knows the best so far from its metrics.
    """

    def __init__(self, folder: Path, recipe: Recipe, merit: str, first_step: int) -> None:
        self._folder, self._recipe, self.merit = folder / FOLDER, recipe, merit
        self._best = -1.0
        if first_step and (self._folder / BEST).exists():
            self._best = max((line[merit] for line in lines_of(folder, first_step) if merit in line), default=-1.0)

    def add(self, epoch: int, figures: Mapping[str, float], checkpoint: Callable[[], Checkpoint]) -> None:
        """Keep the weights after an epoch where they are to be kept; `checkpoint` makes them. Raise `StorageError`."""
        every = self._recipe.keep_every
        names = [BEST] if figures[self.merit] > self._best else []
        if every and epoch % every == 0:
            names.append(f"epoch-{epoch:0{len(str(self._recipe.epochs))}}.safetensors")
        if not names:
            return
        with write_errors(self._folder):
            self._folder.mkdir(exist_ok=True)
        made = checkpoint()
        for name in names:
            save(made, self._folder / name)
        self._best = max(self._best, figures[self.merit])
        self._drop_oldest(epoch)

    def _drop_oldest(self, epoch: int) -> None:
        """Remove all but the latest of those up to an epoch; later ones, of a run that was put back, come again."""
        names = [name for number, name in epochs_kept(self._folder.parent) if number <= epoch]
        for name in names[: -self._recipe.keep]:
            with write_errors(self._folder / name):
                (self._folder / name).unlink(missing_ok=True)


def epochs_kept(run: Path) -> list[tuple[int, str]]:
    """Return the epochs whose checkpoints are there, in order, with the names of their files."""
    folder = run / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted((int(found[1]), name) for name in names if (found := _EPOCH.fullmatch(name)))
