"""The training loop: steps, saves, and the checkpoint at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.precision import FLOATS
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.training.averaging import Averaged
from resnas_deploy.training.batch_norm import share_batch_norms
from resnas_deploy.training.data.loader import Batch, evaluation_batches, steps_per_epoch, training_batches
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.draws import mixed_of, own_groups, subnets_of, survival_of, weights_generator
from resnas_deploy.training.evaluate import Accuracy, evaluate
from resnas_deploy.training.loss import token_label_loss
from resnas_deploy.training.metrics import Metrics
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import memory, moments, optimiser_of, possible_memory, remember, set_rate
from resnas_deploy.training.pace import Pace
from resnas_deploy.training.resort import resort
from resnas_deploy.training.schedule import learning_rate
from resnas_deploy.training.settings import CHECKPOINT, RECIPE, STATE, Run
from resnas_deploy.training.state import OPTIONAL, TrainingState, load_state, save_state
from resnas_deploy.weights.checkpoint import Checkpoint, Measured, Provenance, Task, save

_TOLD_EVERY = 10  # steps


@dataclass(frozen=True)
class Trained:
    """What came out of a run."""

    checkpoint: Checkpoint
    accuracy: Accuracy
    unreadable: tuple[str, ...]  # what was wrong with images that others stood in for


def train(
    run: Run, processes: Processes, tell: Callable[[str], None], epoch_ended: Callable[[str], None] = lambda _: None
) -> Trained:
    """Train to the end, from the last save on where there is one. Raises `BadInput`.

    `tell` is given a line each step, of which the last one counts, and `epoch_ended` one each epoch, to keep.

    The weights depend on `Run.identity` alone, not on where the run was cut off or how many processes there are, but
    for the order of floating-point sums.
    """
    with ending_with_us() if run.recipe.compile else nullcontext():  # the compiler starts processes
        return _Training(run, processes, tell, epoch_ended).train()


class _Training:
    def __init__(
        self, run: Run, processes: Processes, tell: Callable[[str], None], epoch_ended: Callable[[str], None]
    ) -> None:
        self.run, self.processes, self.tell, self.epoch_ended = run, processes, tell, epoch_ended
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
        self.module: nn.Module = self.network
        if recipe.compile:
            self.network.compile_passes()
        if share.processes > 1:
            share_batch_norms(self.network)
            # A subnet may leave parameters of the supernet out.
            self.module = DistributedDataParallel(
                self.network, broadcast_buffers=False, find_unused_parameters=run.space is not None
            )
        self.optimiser = optimiser_of(self.network, recipe)
        self.averaged = Averaged(self.network, recipe.ema) if recipe.ema else None
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=recipe.precision == "fp16")
        self.steps_per_epoch = steps_per_epoch(run.train, recipe)
        self.total = self.steps_per_epoch * recipe.epochs
        self.unreadable: list[str] = []

    def train(self) -> Trained:
        run, first = self.run, 0
        state_file = run.folder / STATE
        if state_file.exists():
            first = self._restore(load_state(state_file, run.identity, self._wanted(), self.total))
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
                self.tell(line)
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
                    self.epoch_ended(f"{line}, top-1 {accuracy.top1:.2%}")
        accuracy = accuracy or self.accuracy()
        checkpoint = self._checkpoint(accuracy)
        if self.processes.first:
            save(checkpoint, run.folder / CHECKPOINT)
        return Trained(checkpoint, accuracy, tuple(self.unreadable))

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
                self.unreadable += batch.unreadable
                if not run.skip_unreadable:
                    raise BadInput(f"{batch.unreadable[0]}; or give --skip-unreadable")
                if 2 * len(batch.unreadable) > len(batch.labels):
                    raise BadInput(f"most images of a batch cannot be read, the first: {batch.unreadable[0]}")
            yield batch

    def _step(self, step: int, batch: Batch) -> float:
        """One update; returns the loss, the mean over all processes."""
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
        if self.averaged:
            self.averaged.update(self.network)
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
        """How far the choices are open in the epoch of a step."""
        epochs = self.run.recipe.opening_epochs
        return min(1.0, step // self.steps_per_epoch / epochs) if epochs else 1.0

    def _end_of_epoch(self, done: int) -> None:
        epoch = done // self.steps_per_epoch
        if self.run.space is not None and epoch <= self.run.recipe.opening_epochs:
            names: dict[Tensor, str] = {own: name for name, own in self.network.named_parameters()}

            def companions(parameter: Tensor) -> Iterator[Tensor]:
                yield from moments(self.optimiser, parameter)
                if self.averaged:
                    yield self.averaged.state[names[parameter]]

            resort(self.network.body, companions)

    def accuracy(self) -> Accuracy:
        """Of the whole network, with the averaged weights where there are some, on the validation split."""
        run, whole = self.run, (Subnet.whole(self.run.arch),)
        batches = evaluation_batches(
            run.val, run.preprocessing, run.recipe.batch, share=self.processes.share, workers=run.workers
        )
        network = self.network
        if self.averaged:
            network = TrainedNetwork(run.arch, masked=network.masked).to(self.processes.device)
            network.load_state_dict(self.averaged.state)
        network.eval()
        return evaluate(lambda images: network(images, whole).image, batches, self.processes)

    def _checkpoint(self, accuracy: Accuracy) -> Checkpoint:
        run, network = self.run, self.network
        if self.averaged:
            network = TrainedNetwork(run.arch)
            network.load_state_dict(self.averaged.state)
        what = f"supernet of the space {run.space.name}" if run.space else f"network {run.arch.fingerprint}"
        trained_on = f"{run.data}, {len(run.train.labels)} images, seed {run.seed}"
        done = f"{what} trained {run.recipe.epochs} epochs on {trained_on}"
        before = run.start.provenance if run.start else Provenance(True, ())
        names = run.start.task.class_names if run.start and run.start.task else run.train.class_names
        task = Task(names, run.preprocessing, run.recipe.held_out)
        measured = Measured(run.data, accuracy.images, accuracy.top1) if accuracy.images else None
        return network.checkpoint(replace(before, trained=True).then(done), task, measured)

    def _save(self, done: int) -> None:
        if self.processes.first:
            tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
            tensors |= {f"{OPTIONAL}{name}": value for name, value in memory(self.optimiser, self.network).items()}
            if self.averaged:
                tensors |= {f"ema/{name}": value for name, value in self.averaged.state.items()}
            state = TrainingState(self.run.identity, done, tensors, self.scaler.state_dict())
            save_state(state, self.run.folder / STATE)
        self.processes.wait()

    def _wanted(self) -> dict[str, Tensor]:
        """Tensors like those that a state may hold."""
        found = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"{OPTIONAL}{name}": value for name, value in possible_memory(self.network).items()}
        return found | ({f"ema/{name}": value for name, value in self.averaged.state.items()} if self.averaged else {})

    def _restore(self, state: TrainingState) -> int:
        def part(name: str) -> dict[str, Tensor]:
            return {key.partition("/")[2]: value for key, value in state.tensors.items() if key.startswith(f"{name}/")}

        self.network.load_state_dict(part("network"))
        remember(self.optimiser, self.network, part("adam"))
        if self.averaged:
            for name, value in part("ema").items():
                self.averaged.state[name].copy_(value)
        if self.scaler.is_enabled():
            if state.scaler.keys() != self.scaler.state_dict().keys():
                raise BadInput(f"{self.run.folder / STATE} must hold the loss's scaler, found another; start anew")
            self.scaler.load_state_dict(dict(state.scaler))
        return state.step
