"""The training loop: steps, saves, and the checkpoint at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.precision import FLOATS
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Progress, silent
from resnas_deploy.training.batches import Batch, evaluation_batches, steps_per_epoch, training_batches
from resnas_deploy.training.distributed import Processes, share_batch_norms
from resnas_deploy.training.evaluate import ValidationAccuracy, evaluate
from resnas_deploy.training.metrics import Metrics, Pace
from resnas_deploy.training.mixing import token_label_loss
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import (
    averaged_network,
    learning_rate,
    memory,
    moments,
    optimiser_of,
    possible_memory,
    remember,
    set_rate,
)
from resnas_deploy.training.resort import resort
from resnas_deploy.training.run import CHECKPOINT, RECIPE, STATE, TrainingRun
from resnas_deploy.training.sampling import mixed_of, own_groups, subnets_of, survival_of, weights_generator
from resnas_deploy.training.saved_state import OPTIONAL, TrainingState, load_state, save_state
from resnas_deploy.weights.checkpoint import Checkpoint, MeasuredAccuracy, Provenance, Task, save

_TOLD_EVERY = 10  # steps


@dataclass(frozen=True)
class Trained:
    """What came out of a training run."""

    run: TrainingRun
    checkpoint: Checkpoint
    accuracy: ValidationAccuracy
    skipped: tuple[str, ...]  # why others stood in for images, in this process

    @property
    def path(self) -> Path:
        """The checkpoint's file."""
        return self.run.folder / CHECKPOINT

    def to_json(self) -> dict[str, object]:
        """Return what `resnas train supernet --json` prints."""
        return {
            "checkpoint": str(self.path),
            "arch": self.run.arch.to_json(),
            "recipe": asdict(self.run.recipe),
            **self.accuracy.to_json(),
            "skipped": list(self.skipped),
        }

    def __str__(self) -> str:
        epochs, images = self.run.recipe.epochs, len(self.run.train.labels)
        return f"{self.path}: {self.run.what}, {epochs} epochs on {images} images"


def train(
    run: TrainingRun, processes: Processes, progress: Progress = silent, each_epoch: Progress = silent
) -> Trained:
    """Train to the end, from the last save on where there is one. Raise `BadInput`.

    `progress` is told a line each step, of which the last one counts, and `each_epoch` one each epoch, to keep; both
    in the first process alone.

    The weights depend on `TrainingRun.identity` alone, not on where the run was cut off or how many processes there
    are, but for the order of floating-point sums.
    """
    with ending_with_us() if run.recipe.compile else nullcontext():  # the compiler starts processes
        return _Training(run, processes, progress, each_epoch).train()


class _Training:
    def __init__(self, run: TrainingRun, processes: Processes, progress: Progress, each_epoch: Progress) -> None:
        self.run, self.processes = run, processes
        self.progress, self.each_epoch = (progress, each_epoch) if processes.first else (silent, silent)
        recipe, share = run.recipe, processes.share
        if recipe.groups % share.processes:
            raise BadInput(
                f"the groups of a batch, {recipe.batch} / {recipe.group} = {recipe.groups}, must be a multiple of the "
                f"processes, found {share.processes}; change batch or group"
            )
        self.network = TrainedNetwork(run.arch, masked=run.space is not None and (recipe.masked or recipe.compile))
        if run.start:
            self.network.load(run.start)
        else:
            self.network.initialise(weights_generator(run))
        self.network.to(processes.device)
        if share.processes > 1:
            share_batch_norms(self.network, processes.device)
        self.average = averaged_network(self.network, recipe.ema) if recipe.ema else None
        if recipe.compile:
            self.network.compile_passes()
        self.module: nn.Module = self.network
        if share.processes > 1:
            # A subnet may leave parameters of the supernet out.
            self.module = DistributedDataParallel(
                self.network, broadcast_buffers=False, find_unused_parameters=run.space is not None
            )
        self.optimiser = optimiser_of(self.network, recipe)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=recipe.precision == "fp16")
        self.steps_per_epoch = steps_per_epoch(run.train, recipe)
        self.total = self.steps_per_epoch * recipe.epochs
        self.skipped: list[str] = []

    def train(self) -> Trained:
        run, first = self.run, 0
        state_file = run.folder / STATE
        if state_file.exists():
            first = self._restore(load_state(state_file, run.identity, self._possible(), self.total))
        if self.processes.first:  # now that the folder is known to be this run's
            with atomic_file(run.folder / RECIPE) as partial:
                partial.write_text(run.recipe.to_toml(), encoding="utf-8")
        accuracy = None
        with Metrics(run.folder, first) if self.processes.first else nullcontext() as metrics:
            pace = Pace(run.recipe.batch, self.total)
            for step, batch in enumerate(self._batches(first), start=first):
                loss = self._step(step, batch)
                done = step + 1
                pace.add(done)
                line = f"epoch {step // self.steps_per_epoch + 1} of {run.recipe.epochs}, loss {loss:.3f}, {pace}"
                self.progress(line)
                ends = done % self.steps_per_epoch == 0
                figures = {"loss": loss, "learning_rate": self._rate(step), "images_per_second": pace.images_per_second}
                if ends:
                    self._end_of_epoch(done)
                    accuracy = self.accuracy()
                    figures |= {"epoch": done // self.steps_per_epoch, "top1": accuracy.top1, "top5": accuracy.top5}
                if metrics and (ends or done % _TOLD_EVERY == 0):
                    metrics.add(done, figures)
                if ends or (run.save_every and done % run.save_every == 0):
                    self._save(done)
                if ends and accuracy:
                    self.each_epoch(f"{line}, top-1 {accuracy.top1:.2%}")
        accuracy = accuracy or self.accuracy()
        checkpoint = self._checkpoint(accuracy)
        if self.processes.first:
            save(checkpoint, run.folder / CHECKPOINT)
        return Trained(run, checkpoint, accuracy, tuple(self.skipped))

    def _batches(self, first: int) -> Iterator[Batch]:
        run = self.run
        batches = training_batches(
            run.train,
            run.recipe,
            run.arch.image_size,
            run.seed,
            first_step=first,
            share=self.processes.share,
            workers=run.workers,
        )
        for batch in batches:
            if batch.unreadable:
                self.skipped += batch.unreadable
                if not run.skip_unreadable:
                    raise BadInput(f"{batch.unreadable[0]}; or give `skip_unreadable`")
                if 2 * len(batch.unreadable) > len(batch.labels):
                    raise BadInput(f"most images of a batch cannot be read, the first: {batch.unreadable[0]}")
            yield batch

    def _step(self, step: int, batch: Batch) -> float:
        """Make one update and return the loss, the mean over all processes."""
        recipe = self.run.recipe
        device, groups = self.processes.device, own_groups(self.run, self.processes.share)
        subnets = subnets_of(self.run, step, self._opened(step), groups)
        survival = survival_of(self.run, step, groups)
        survival = None if survival is None else survival.to(device)
        mixed = mixed_of(self.run, step, groups, self._normalised(batch.pixels), batch.labels.to(device))
        set_rate(self.optimiser, self._rate(step))
        self.module.train()
        self.optimiser.zero_grad(set_to_none=True)
        with self._autocast():
            loss = token_label_loss(self.module(mixed.images, subnets, survival), mixed)
        torch.autograd.backward(self.scaler.scale(loss))
        self.scaler.unscale_(self.optimiser)
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
        value = float(self.processes.mean(loss.detach().clone()))
        if not math.isfinite(value):
            raise BadInput(
                f"the loss must stay finite, found {value} at step {step + 1} of {self.total}; what was saved before "
                "is kept; lower learning_rate, or use another precision"
            )
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.average:
            self.average.update_parameters(self.network)
        return value

    def _normalised(self, pixels: Tensor) -> Tensor:
        mean, std = (
            torch.tensor(values, device=self.processes.device)[:, None, None]
            for values in (self.run.preprocessing.mean, self.run.preprocessing.std)
        )
        return (pixels.to(self.processes.device).float() / 255 - mean) / std

    def _autocast(self) -> torch.autocast:
        precision = self.run.recipe.precision
        narrow = None if precision == "fp32" else FLOATS[precision].torch
        return torch.autocast(self.processes.device.type, narrow, enabled=narrow is not None)

    def _rate(self, step: int) -> float:
        return learning_rate(self.run.recipe, step, self.steps_per_epoch)

    def _opened(self, step: int) -> float:
        """Return how far the choices are open in the epoch of a step."""
        epochs = self.run.recipe.opening_epochs
        return min(1.0, step // self.steps_per_epoch / epochs) if epochs else 1.0

    def _end_of_epoch(self, done: int) -> None:
        epoch = done // self.steps_per_epoch
        if self.run.space is not None and epoch <= self.run.recipe.opening_epochs:
            averages: dict[Tensor, Tensor] = {}
            if self.average:
                averages = dict(zip(self.network.parameters(), self.average.module.parameters(), strict=True))

            def companions(parameter: Tensor) -> Iterator[Tensor]:
                yield from moments(self.optimiser, parameter)
                if parameter in averages:
                    yield averages[parameter]

            resort(self.network.body, companions)

    @property
    def best(self) -> TrainedNetwork:
        """The network with the averaged weights where there are some, else as it is."""
        average = self.average.module if self.average else None
        return average if isinstance(average, TrainedNetwork) else self.network

    def accuracy(self) -> ValidationAccuracy:
        """Measure the whole network on the validation split."""
        run, whole = self.run, (Subnet.whole(self.run.arch),)
        batches = evaluation_batches(
            run.val, run.preprocessing, run.recipe.batch, share=self.processes.share, workers=run.workers
        )
        network = self.best.eval()
        return evaluate(lambda images: network(images, whole).image, batches, self.processes)

    def _checkpoint(self, accuracy: ValidationAccuracy) -> Checkpoint:
        run = self.run
        trained_on = f"{run.data}, {len(run.train.labels)} images, seed {run.seed}"
        done = f"{run.what} trained {run.recipe.epochs} epochs on {trained_on}"
        before = run.start.provenance if run.start else Provenance(True, ())
        names = run.start.task.class_names if run.start and run.start.task else run.train.class_names
        task = Task(names, run.preprocessing, run.recipe.held_out)
        measured = MeasuredAccuracy(run.data, accuracy.images, accuracy.top1) if accuracy.images else None
        return self.best.checkpoint(replace(before, trained=True).then(done), task, measured)

    def _save(self, done: int) -> None:
        if self.processes.first:
            tensors = self._networks() | {OPTIONAL + k: v for k, v in memory(self.optimiser, self.network).items()}
            state = TrainingState(self.run.identity, done, tensors, self.scaler.state_dict())
            save_state(state, self.run.folder / STATE)
        self.processes.wait()

    def _networks(self) -> dict[str, Tensor]:
        """Return the tensors of the network and of its average, as a state names them."""
        networks = {"network": self.network} | ({"ema": self.best} if self.average else {})
        return {f"{part}/{name}": v for part, network in networks.items() for name, v in network.state_dict().items()}

    def _possible(self) -> dict[str, Tensor]:
        """Return tensors like those that a state may hold."""
        return self._networks() | {OPTIONAL + name: like for name, like in possible_memory(self.network).items()}

    def _restore(self, state: TrainingState) -> int:
        def part(name: str) -> dict[str, Tensor]:
            return {key.partition("/")[2]: value for key, value in state.tensors.items() if key.startswith(f"{name}/")}

        self.network.load_state_dict(part("network"))
        remember(self.optimiser, self.network, part("adam"))
        if self.average:
            self.best.load_state_dict(part("ema"))
        if self.scaler.is_enabled():
            if state.scaler.keys() != self.scaler.state_dict().keys():
                raise BadInput(f"{self.run.folder / STATE} must hold the loss's scaler, found another; start anew")
            self.scaler.load_state_dict(dict(state.scaler))
        return state.step
