"""The training loop: steps, saves, and the checkpoint at the end."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import torch

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.name_forms import readable
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Counted, Progress, silent
from resnas_deploy.training.device import training_on
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.evaluate import ValidationAccuracy, evaluate, told
from resnas_deploy.training.input.batches import (
    Batch,
    evaluation_batch,
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)
from resnas_deploy.training.learner import Learner
from resnas_deploy.training.masked_or_sliced import decided
from resnas_deploy.training.memory_estimate import MemoryEstimate, check_memory
from resnas_deploy.training.optimiser import learning_rate
from resnas_deploy.training.passes import check_parts
from resnas_deploy.training.records.kept import Kept
from resnas_deploy.training.records.metrics import Metrics, Pace
from resnas_deploy.training.records.run_record import recorded
from resnas_deploy.training.records.tracking import TrackedRun, Trackers
from resnas_deploy.training.run import CHECKPOINT, RECIPE, STATE, TrainingRun
from resnas_deploy.training.saved_state import load_state, save_state
from resnas_deploy.training.subnet_accuracy import MEAN, FixedSubnets
from resnas_deploy.training.transfer import Later
from resnas_deploy.weights.checkpoint import Checkpoint, MeasuredAccuracy, Provenance, Task, save

_TOLD_EVERY = 10  # steps
_REMEDY = "what was saved before is kept; lower learning_rate, or use another precision"  # of what is not finite


@dataclass(frozen=True)
class Trained:
    """What came out of a training run."""

    run: TrainingRun
    checkpoint: Checkpoint
    accuracy: ValidationAccuracy
    skipped: tuple[str, ...]  # why others stood in for images, in this process
    memory: MemoryEstimate  # what a process needed of it, as was said before the run

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
            "memory": self.memory.to_json(),
        }

    def __str__(self) -> str:
        epochs, images = self.run.recipe.epochs, len(self.run.train.labels)
        return f"{self.path}: {self.run.what}, {epochs} epoch{'s' * (epochs != 1)} on {images} images"


def train(
    run: TrainingRun, processes: Processes, progress: Progress = silent, each_epoch: Progress = silent
) -> Trained:
    """Train to the end, from the last save on where there is one. Raise `BadInput`.

    `progress` is told a line each step, of which the last one counts, and `each_epoch` one each epoch, to keep,
    and before the first how much memory a process needs; both in the first process alone.

    The weights depend on `TrainingRun.identity` alone, not on where the run was cut off or how many processes there
    are, but for the order of floating-point sums.
    """
    check_parts(run.recipe, processes.share.processes)
    with (
        ending_with_us() if run.recipe.compile else nullcontext(),  # the compiler starts processes
        training_on(processes.device, tf32=run.recipe.tf32),
    ):
        _check_folder(run, processes)
        run = decided(run, processes, each_epoch if processes.first else silent, progress)
        return _Training(run, processes, progress, each_epoch).train()


def _check_folder(run: TrainingRun, processes: Processes) -> None:
    """Raise `BadInput` where some processes see a state to go on from and others none: they would part for good."""
    there = (run.folder / STATE).exists()
    seen, missed = processes.total(torch.tensor([there, not there], device=processes.device).int()).tolist()
    if seen and missed:
        raise BadInput(
            f"{run.folder} must be the same folder in all processes, found {STATE} in {seen} of {seen + missed}; put "
            "it where all machines see it"
        )


class _Training:
    def __init__(self, run: TrainingRun, processes: Processes, progress: Progress, each_epoch: Progress) -> None:
        self.run, self.processes = run, processes
        self.progress, self.each_epoch = (progress, each_epoch) if processes.first else (silent, silent)
        self.learner = Learner(run, processes)
        self.steps_per_epoch = steps_per_epoch(run.train, run.recipe)
        self.total = self.steps_per_epoch * run.recipe.epochs
        self.subnets = FixedSubnets(run, run.space, processes) if run.space else None
        self.skipped: list[str] = []

    def train(self) -> Trained:
        run, first = self.run, 0
        state_file = run.folder / STATE
        if state_file.exists():
            state = load_state(state_file, run.identity, self.learner.possible_state(), self.total)
            self.learner.restore(state)
            first = state.step
        memory, line = check_memory(self.learner.network, run.recipe, self.processes)
        self.each_epoch(line)
        if self.processes.first:  # now that the folder is known to be this run's
            with atomic_file(run.folder / RECIPE) as written:
                written.write_text(run.recipe.to_toml(), encoding="utf-8", newline="\n")
        accuracy = None
        kept = Kept(run.folder, run.recipe, MEAN if self.subnets else "top1", first)
        # Closed here: an error that somebody keeps would keep what makes the batches as well.
        with self._records(first) as metrics, closing(self._batches(first)) as batches:
            self.progress("the first step")
            pace = Pace(run.recipe.batch, self.total)
            for step, loss in self._steps(pace.timed(batches), first):
                done = step + 1
                pace.add(done)
                line = f"epoch {step // self.steps_per_epoch + 1} of {run.recipe.epochs}, loss {loss:.3f}, {pace}"
                self.progress(Counted(line, done, self.total, stage="training", tells_left=True))
                ends = self._ends_epoch(done)
                figures = {
                    "loss": loss,
                    "learning_rate": self._rate(step),
                    "images_per_second": pace.images_per_second,
                    "waiting": pace.waiting,
                }
                if self._saves(done):
                    self._check_weights(done)
                if ends:
                    self._end_of_epoch(done)
                    accuracy = self.accuracy()
                    figures |= {"epoch": done // self.steps_per_epoch, "top1": accuracy.top1, "top5": accuracy.top5}
                    line += f", top-1 {accuracy.top1:.2%}"
                    if self.subnets:
                        found = self.subnets.measure(self.learner.best)
                        figures |= found.figures
                        line += f"; {found}"
                        figures["masked"] = float(run.recipe.masked)
                if metrics and (ends or done % _TOLD_EVERY == 0):
                    metrics.add(done, figures)
                if metrics and ends and accuracy:
                    kept.add(done // self.steps_per_epoch, figures, partial(self._checkpoint, accuracy, done))
                if self._saves(done):
                    self._save(done)
                if ends:
                    self.each_epoch(line)
            accuracy = accuracy or self.accuracy()
            checkpoint = self._checkpoint(accuracy, self.total)
            if self.processes.first:
                save(checkpoint, run.folder / CHECKPOINT)
        return Trained(run, checkpoint, accuracy, tuple(self.skipped), memory)

    @contextmanager
    def _records(self, first: int) -> Iterator[Metrics | None]:
        """Keep the run's records from a step on, in the first process: what it is, and its figures as they come."""
        run = self.run
        if not self.processes.first:
            yield None
            return
        with recorded(run, self.processes, self.steps_per_epoch, first):
            parameters = {"what": run.what, "data": run.data, "seed": run.seed} | asdict(run.recipe)
            trackers = Trackers(run.track, TrackedRun(run.folder, parameters, first))
            with Metrics(run.folder, first, trackers) as metrics:
                yield metrics

    def _batches(self, first: int) -> Generator[Batch, None, None]:
        run = self.run
        batches = training_batches(
            run.train,
            run.recipe,
            run.arch.image_size,
            run.seed,
            first_step=first,
            share=self.processes.share,
            workers=run.workers,
            pin=self.processes.pins,
        )
        with closing(batches):
            for batch in batches:
                if batch.unreadable:
                    self.skipped += batch.unreadable
                    if not run.skip_unreadable:
                        raise BadInput(f"{batch.unreadable[0]}; or give `skip_unreadable`")
                    if 2 * len(batch.unreadable) > len(batch.labels):
                        raise BadInput(f"most images of a batch cannot be read, the first: {batch.unreadable[0]}")
                yield batch

    def _steps(self, batches: Iterable[Batch], first: int) -> Iterator[tuple[int, float]]:
        """Make one update after the other, and yield each step with its loss, the mean over all processes.

        A loss is read when the next step has been queued, so that the device does not wait for the host; but before an
        evaluation or a save at once, so that nothing is kept that came after a loss that is not finite.
        """
        queued: tuple[int, Later] | None = None
        for step, batch in enumerate(batches, start=first):
            loss = Later(self.learner.learn(step, batch, self._rate(step), self._opened(step)))
            if queued:
                yield self._read(*queued)
            queued = step, loss
            if self._saves(step + 1):
                yield self._read(*queued)
                queued = None

    def _read(self, step: int, loss: Later) -> tuple[int, float]:
        value = loss.read()
        if not math.isfinite(value):
            ranks = ", ".join(map(str, self.learner.not_finite(step)))
            where = f" (first in the part of rank {ranks})" if ranks else ""
            raise BadInput(
                f"the loss must stay finite, found {value} at step {step + 1} of {self.total}{where}; {_REMEDY}"
            )
        return step, value

    def _check_weights(self, done: int) -> None:
        """Raise `BadInput`, for no run goes on from NaN. A loss is of the weights before its update."""
        if not self.learner.is_finite(done):
            raise BadInput(
                f"all weights must stay finite, found NaN or infinity after step {done} of {self.total}, in them or in "
                f"what the optimiser remembers; {_REMEDY}"
            )

    def _ends_epoch(self, done: int) -> bool:
        return done % self.steps_per_epoch == 0

    def _saves(self, done: int) -> bool:
        return self._ends_epoch(done) or bool(self.run.save_every and done % self.run.save_every == 0)

    def _rate(self, step: int) -> float:
        return learning_rate(self.run.recipe, step, self.steps_per_epoch)

    def _opened(self, step: int) -> float:
        """Return how far the choices are open in the epoch of a step."""
        epochs = self.run.recipe.opening_epochs
        return min(1.0, step // self.steps_per_epoch / epochs) if epochs else 1.0

    def _end_of_epoch(self, done: int) -> None:
        epoch = done // self.steps_per_epoch
        if self.run.space is not None and epoch <= self.run.recipe.opening_epochs:
            self.learner.resort(self.run.space)

    def accuracy(self) -> ValidationAccuracy:
        """Measure the whole network on the validation split."""
        run, whole = self.run, (Subnet.whole(self.run.arch),)
        batches = evaluation_batches(
            run.val,
            run.preprocessing,
            evaluation_batch(run.recipe, self.processes.share),
            share=self.processes.share,
            workers=run.workers,
            pin=self.processes.pins,
        )
        network = self.learner.best.eval()
        with closing(batches):
            own = -(-len(run.val.labels) // self.processes.share.processes)
            seen = told(batches, own, "validating", self.progress)
            return evaluate(lambda images: network(images, whole).image, seen, run.preprocessing, self.processes)

    def _checkpoint(self, accuracy: ValidationAccuracy, done: int) -> Checkpoint:
        """Return the weights as they are after so many steps."""
        run, epochs = self.run, self.run.recipe.epochs
        part = "" if done == self.total else f"{done // self.steps_per_epoch} of "
        trained_on = f"{run.data}, {len(run.train.labels)} images, seed {run.seed}"
        made = f"{run.what} trained {part}{epochs} epochs on {trained_on}"
        before = run.start.provenance if run.start else Provenance(True, ())
        names = run.start.task.class_names if run.start and run.start.task else tuple(readable(run.train.class_names))
        task = Task(names, run.preprocessing, run.recipe.held_out)
        measured = MeasuredAccuracy(run.data, accuracy.images, accuracy.top1) if accuracy.images else None
        found = self.learner.best.checkpoint(replace(before, trained=True).then(made), task, measured)
        return replace(found, space=run.space, checked=True)

    def _save(self, done: int) -> None:
        if self.processes.first:
            save_state(self.learner.state(done), self.run.folder / STATE)
        self.processes.wait()
