"""A supernet trained on in another space, from the weights that it has there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.data.source import DEMO
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import write_json
from resnas_deploy.files.reading import read_json
from resnas_deploy.progress import Progress
from resnas_deploy.runners.devices import torch_device
from resnas_deploy.training.recipe import RECIPES, Recipe, read_recipe
from resnas_deploy.weights.checkpoint import Checkpoint, Provenance, load
from resnas_deploy.weights.widening import widened

_FOLDER, _DONE = "training", "trained.json"
_MOST_BYTES = 1_000_000
_SHARE = 3  # a round trains for a third of the recipe's epochs


@dataclass(frozen=True)
class Onward:
    """How supernets are trained on."""

    data: str
    recipe: Recipe
    seed: int
    device: str  # "": a GPU where there is one


def recipe_of(
    supernet: Checkpoint,
    space: SearchSpace,
    data: str,
    recipe: str | Path | Recipe,
    settings: Sequence[str] | Mapping[str, object],
    epochs: int | None,
) -> Recipe:
    """Return the recipe of a supernet's training for fewer epochs, with all choices open from the beginning.

    The images that were held out stay so, for candidates are scored on them. Raise `BadInput`.
    """
    usual = DEMO if data == DEMO else space.name if space.name in RECIPES else "small"
    source = recipe or usual
    whole = (source if isinstance(source, Recipe) else read_recipe(source, "supernet")).override(settings)
    shorter = epochs or max(1, whole.epochs // _SHARE)
    return replace(
        whole,
        epochs=shorter,
        warm_up_epochs=min(whole.warm_up_epochs, shorter // 2),
        opening_epochs=0,
        held_out=supernet.task.held_out if supernet.task else whole.held_out,
        image_size=0,
    )


def begun(supernet: Checkpoint, space: SearchSpace, seed: int, number: int) -> Checkpoint:
    """Return the supernet of a space before it is trained there; what is new is drawn by the seed and the round."""
    import torch

    from resnas_deploy.training.network import TrainedNetwork

    network = TrainedNetwork(space.widest().full)
    drawn = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0]
    network.initialise(torch.Generator().manual_seed(int(drawn) % 2**63))
    return widened(supernet, network.checkpoint(Provenance(False, ()), None), space)


def trained_on(
    supernet: Checkpoint,
    space: SearchSpace,
    onward: Onward,
    folder: Path,
    number: int,
    progress: Progress,
    each_epoch: Progress,
) -> Checkpoint:
    """Return the supernet trained on in the space, in a folder of the round, where a run goes on that was stopped.

    The optimiser begins anew. Raise `BadInput`, also where the folder has another run.
    """
    from resnas_deploy.training.distributed import Processes, Share
    from resnas_deploy.training.input.worker_count import with_workers
    from resnas_deploy.training.loop import train
    from resnas_deploy.training.run import CHECKPOINT, TrainingOptions, supernet_run

    out = folder / _FOLDER
    start = begun(supernet, space, onward.seed, number)
    options = TrainingOptions(out, onward.data, onward.recipe, seed=onward.seed, resume=True)
    run = supernet_run(space, options, start)
    done = folder / _DONE
    if done.exists():
        if read_json(done, _MOST_BYTES) != {"run": run.identity}:
            raise BadInput(f"{out} must be of the same training; give the same options as before, or another `out`")
        return load(out / CHECKPOINT)
    out.mkdir(exist_ok=True)
    processes = Processes(Share(), torch_device(onward.device, field="eval_device"))
    found = train(with_workers(run, None, processes), processes, progress, each_epoch).checkpoint
    write_json(done, {"run": run.identity})
    return found
