"""Training supernets and single networks, and how that goes.

Several processes that torchrun starts train together, each by the same call: the first one writes the files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import claiming
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.devices import check_torch
from resnas_deploy.weights.arch_files import read_arch
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.space_files import space_named

if TYPE_CHECKING:  # which import torch
    from resnas_deploy.training.input_profile import InputProfile
    from resnas_deploy.training.loop import Trained
    from resnas_deploy.training.recipe import Recipe
    from resnas_deploy.training.records.status import RunStatus
    from resnas_deploy.training.run import TrainingOptions, TrainingRun


@dataclass(frozen=True)
class Status(Tabular):
    """How a training run goes or went."""

    run: RunStatus
    seen: float  # when, in seconds since 1970

    def to_json(self) -> dict[str, object]:
        """Return what `resnas train status --json` prints."""
        return self.run.to_json()

    def table(self) -> Table:
        """Return a row for each figure: its course over the epochs, and its values."""
        from resnas_deploy.training.records.curves import COLUMNS, rows

        return Table(f"{self.run.folder}, by epoch", COLUMNS, rows(self.run.curves), text_columns=2)

    def plot(self, path: str | Path, *, force: bool = False) -> None:
        """Draw the curves; the suffix says as what: .png, .svg, or .html, which holds the figures of each epoch too.

        Raise `BadInput` for another suffix, or where a file is there that `force` does not replace, `NotAvailable`
        without matplotlib.
        """
        from resnas_deploy.measuring.plots import check_plot
        from resnas_deploy.training.records.curves import plot_status

        check_plot(Path(path))
        plot_status(self.run, Path(path), replace=force)

    def __str__(self) -> str:
        from resnas_deploy.training.records.curves import summary

        return "\n".join(summary(self.run, self.seen))


@checked
def supernet(
    out: str | Path,
    data: str | Path,
    *,
    space: str | Path | SearchSpace = "small",
    recipe: str | Path | Recipe = "",
    settings: Sequence[str] | Mapping[str, object] = (),
    seed: int = 0,
    resume: bool = False,
    workers: int | None = None,
    save_every: int = 0,
    skip_unreadable: bool = False,
    track: Sequence[str] = (),
    profile_input: bool = False,
    device: str = "",
    each_epoch: Progress = silent,
    progress: Progress = silent,
) -> Trained | InputProfile:
    """Train all networks of a search space at once: each group of a batch trains a subnet of its own.

    Args:
        out: the folder of the run, which is made: checkpoint, recipe, metrics, and what a stopped run goes on from.
        data: demo, the small data set that is built in, or a folder with train/ and val/, each of class folders or of
            WebDataset shards.
        space: the search space: tiny, small or demo.
        recipe: demo, tiny, small, medium, a TOML file, or a `Recipe`; where none is given demo for the demo's data,
            else that of the space or network, and to finetune medium.
        settings: keys of the recipe with other values, as a mapping or as "KEY=VALUE".
        seed: everything random follows from it.
        resume: go on with a run that was stopped, to the same weights, or start it where none was.
        workers: processes that decode images; 0: this one does. None takes the cores at hand, divided by the processes
            of this machine that train together, and 0 for images that are in memory already where a CPU computes.
        save_every: steps between saves, from which a run goes on; 0: at the end of each epoch.
        skip_unreadable: go on without images that cannot be read; the result names them.
        track: who is told the figures beside metrics.jsonl, by their own clients: tensorboard, mlflow, wandb.
        profile_input: measure how fast images come and how fast the device learns from them, return that as an
            `InputProfile`, and train nothing.
        device: cpu, cuda or cuda:N; cuda where there is one if none is named.
        each_epoch: told a line at the end of each epoch, to keep, and before the first how much memory is needed.
        progress: told a line each step, of which the last one counts.

    Raise `BadInput` for what is wrong or does not go together, for an image that cannot be read, and for a loss that is
    not finite; `NotAvailable` without PyTorch; `StorageError` where the folder cannot be written.
    """
    check_torch("training")
    from resnas_deploy.training.run import TrainingOptions, supernet_run

    options = TrainingOptions(
        Path(out), str(data), recipe, settings, seed, resume, workers, save_every, skip_unreadable, track, profile_input
    )
    return _trained(lambda: supernet_run(space_named(space), options), options, device, each_epoch, progress)


@checked
def subnet(
    out: str | Path,
    data: str | Path,
    *,
    arch: str | Path | ArchSpec = "",
    checkpoint: str | Path | Checkpoint | None = None,
    recipe: str | Path | Recipe = "",
    settings: Sequence[str] | Mapping[str, object] = (),
    seed: int = 0,
    resume: bool = False,
    workers: int | None = None,
    save_every: int = 0,
    skip_unreadable: bool = False,
    track: Sequence[str] = (),
    profile_input: bool = False,
    device: str = "",
    each_epoch: Progress = silent,
    progress: Progress = silent,
) -> Trained | InputProfile:
    """Train one network, from scratch or from weights that are there.

    Args:
        arch: what to train from scratch: a published name, a file, or an `ArchSpec`.
        checkpoint: weights to start from, such as those that a search's winner inherits; instead of `arch`.

    The others are those of `supernet`, and so is what is raised.
    """
    if bool(arch) == bool(checkpoint):
        raise BadInput("there must be one of `arch` and `checkpoint`, found " + ("both" if arch else "neither"))
    check_torch("training")
    from resnas_deploy.training.run import TrainingOptions, scratch_run, weights_run

    options = TrainingOptions(
        Path(out), str(data), recipe, settings, seed, resume, workers, save_every, skip_unreadable, track, profile_input
    )

    def prepare() -> TrainingRun:
        if checkpoint:
            return weights_run(_path(checkpoint), "subnet", options)
        return scratch_run(arch if isinstance(arch, ArchSpec) else read_arch(arch), options)

    return _trained(prepare, options, device, each_epoch, progress)


@checked
def finetune(
    out: str | Path,
    checkpoint: str | Path | Checkpoint,
    data: str | Path,
    *,
    recipe: str | Path | Recipe = "",
    settings: Sequence[str] | Mapping[str, object] = (),
    seed: int = 0,
    resume: bool = False,
    workers: int | None = None,
    save_every: int = 0,
    skip_unreadable: bool = False,
    track: Sequence[str] = (),
    profile_input: bool = False,
    device: str = "",
    each_epoch: Progress = silent,
    progress: Progress = silent,
) -> Trained | InputProfile:
    """Train a network on, at the recipe's image size: position tables are resized bicubically.

    Args:
        checkpoint: the weights to start from.

    The others are those of `supernet`, and so is what is raised.
    """
    check_torch("training")
    from resnas_deploy.training.run import TrainingOptions, weights_run

    options = TrainingOptions(
        Path(out), str(data), recipe, settings, seed, resume, workers, save_every, skip_unreadable, track, profile_input
    )
    return _trained(
        lambda: weights_run(_path(checkpoint), "finetune", options),
        options,
        device,
        each_epoch,
        progress,
    )


@checked
def status(folder: str | Path) -> Status:
    """Tell how a training run goes or went: state, curves, pace and time left, from its folder, which may be in use.

    Args:
        folder: the run's, the `out` of its training.

    Raise `BadInput` for a folder of anything else.
    """
    check_torch("training")
    from resnas_deploy.training.records.status import status_of

    return Status(status_of(Path(folder)), time.time())


def _path(checkpoint: str | Path | Checkpoint) -> Path | Checkpoint:
    return checkpoint if isinstance(checkpoint, Checkpoint) else Path(checkpoint)


def _trained(
    prepare: Callable[[], TrainingRun],
    options: TrainingOptions,
    device: str,
    each_epoch: Progress,
    progress: Progress,
) -> Trained | InputProfile:
    """Train in the folder of a run, which is this run's until it ends, together with the processes that there are."""
    from resnas_deploy.training.distributed import joined
    from resnas_deploy.training.input.worker_count import with_workers
    from resnas_deploy.training.input_profile import profile_input
    from resnas_deploy.training.loop import train
    from resnas_deploy.training.records.learning_report import write_report

    remedy = "give `resume` to go on with it, or choose another `out`"
    with joined(device, os.environ) as processes:
        progress("reading the data")
        run = with_workers(prepare(), options.workers, processes)
        if options.profile_input:
            return profile_input(run, processes, progress)
        claimed = claiming(options.out, resume=options.resume, remedy=remedy) if processes.first else nullcontext()
        with claimed:
            processes.wait()
            trained = train(run, processes, progress, each_epoch)
            if processes.first:
                write_report(run.folder, trained.accuracy, trained.skipped)
            return trained
