"""Who is told a run's figures beside metrics.jsonl: TensorBoard, MLflow, Weights & Biases, each by its own client.

A client is imported only where it is asked for, and takes from its own environment variables and files where to send
what it is told. None of them ends a run: one that fails on the way is left out from then on, and a note says so.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from resnas_deploy.errors import BadInput, PackageMissing, ResnasError, first_line, shown
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.reading import read_json
from resnas_deploy.processes.quiet import import_quietly

TRACKERS = ("tensorboard", "mlflow", "wandb")
IDS = "tracking.json"  # in the run's folder: what trackers know the run as, so that one that goes on stays one run
PROJECT = "resnas"  # the experiment or project, where the tracker's own variable names none


class Tracker(Protocol):
    """One that is told."""

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Take the figures after so many steps."""
        ...

    def close(self, finished: bool) -> None:
        """Send what is left; `finished` tells whether the run came to its end."""
        ...


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run at its start."""

    folder: Path
    parameters: Mapping[str, object]
    first_step: int  # 0, or where a run that was stopped goes on

    @property
    def name(self) -> str:
        """The run's name: its folder's."""
        return self.folder.resolve().name

    def known_as(self, tracker: str) -> str:
        """Return the name by which a tracker knows this run, or nothing."""
        return _ids(self.folder).get(tracker, "")

    def remember(self, tracker: str, known_as: str) -> None:
        """Keep it for when the run goes on."""
        with atomic_file(self.folder / IDS) as partial:
            partial.write_text(
                json.dumps(_ids(self.folder) | {tracker: known_as}) + "\n", encoding="utf-8", newline="\n"
            )


def check_trackers(names: Sequence[str]) -> None:
    """Raise `BadInput` for one that is unknown, `PackageMissing` for one that is not installed: before any work."""
    for name in names:
        if name not in TRACKERS:
            raise BadInput(f"`track` must be one of {', '.join(TRACKERS)}, found {shown(name)}")
        if importlib.util.find_spec(name) is None:
            raise PackageMissing(f"tracking by {name} needs its package", f"pip install {name}")


class Trackers:
    """All that were asked for. Raises `BadInput` where one does not start."""

    def __init__(self, names: Sequence[str], run: TrackedRun) -> None:
        self._open: dict[str, Tracker] = {}
        for name in dict.fromkeys(names):
            try:
                self._open[name] = _OPENED[name](run)
            except Exception as error:  # whatever its client raises
                self.close(finished=False)
                if isinstance(error, ResnasError):
                    raise
                raise BadInput(
                    f"`track` {name} must be ready to be told, found: {first_line(error)}; set what its client wants"
                ) from error

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Tell all of them."""
        for name, tracker in list(self._open.items()):
            try:
                tracker.add(step, figures)
            except Exception as error:  # noqa: BLE001  whatever its client raises: days of training do not hang on it
                del self._open[name]
                _note("%s is told no more figures of this run, since it failed: %s", name, first_line(error))

    def close(self, *, finished: bool) -> None:
        """Have them send what is left."""
        for name, tracker in self._open.items():
            try:
                tracker.close(finished)
            except Exception as error:  # noqa: BLE001  as above
                _note("%s may lack the last figures of this run, since it failed: %s", name, first_line(error))
        self._open.clear()


class _TensorBoard:
    """Events in `tensorboard/` in the run's folder; those of steps that are taken again are dropped."""

    def __init__(self, run: TrackedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.first_step or None)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def close(self, finished: bool) -> None:
        del finished
        self._writer.close()


class _MLflow:
    """A run at MLFLOW_TRACKING_URI, or where MLflow keeps runs without it; the experiment is MLFLOW_EXPERIMENT_NAME's.

    Source: mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html.
    """

    def __init__(self, run: TrackedRun, clock: Callable[[], float] = time.time) -> None:
        entities = import_quietly("mlflow.entities")
        self._metric, self._clock = entities.Metric, clock
        self._client = import_quietly("mlflow").MlflowClient()
        self._run = run.known_as("mlflow")
        with suppress(import_quietly("mlflow.exceptions").MlflowException):  # another server's, or deleted
            if self._run:
                self._client.update_run(self._run, status="RUNNING")
                return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        known = self._client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else self._client.create_experiment(name)
        self._run = self._client.create_run(experiment, run_name=run.name).info.run_id
        parameters = [entities.Param(key, str(value)) for key, value in run.parameters.items()]
        self._client.log_batch(self._run, params=parameters)
        run.remember("mlflow", self._run)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        now = int(1000 * self._clock())
        metrics = [self._metric(name, value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._run, metrics=metrics, synchronous=False)  # the device does not wait for a server

    def close(self, finished: bool) -> None:
        import_quietly("mlflow").flush_async_logging()
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class _WeightsAndBiases:
    """A run of WANDB_PROJECT. Where nobody is logged in and WANDB_MODE is not set, it is offline, in the run's folder.

    Sources: docs.wandb.ai/models/ref/python/functions/init and ../login. Nothing is ever asked on the terminal.
    """

    def __init__(self, run: TrackedRun) -> None:
        wandb = import_quietly("wandb")
        mode = None if os.environ.get("WANDB_MODE") or wandb.login(prompt=False) else "offline"
        if mode:
            _note("nobody is logged in to wandb: the run is kept offline in its folder, for `wandb sync`")
        known_as = run.known_as("wandb") or secrets.token_hex(8)
        run.remember("wandb", known_as)
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=run.name,
            id=known_as,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.parameters),
            mode=mode,
            settings=wandb.Settings(silent=True, console="off"),
        )

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def close(self, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


_OPENED: Mapping[str, Callable[[TrackedRun], Tracker]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WeightsAndBiases,
}


def _ids(folder: Path) -> dict[str, str]:
    """Return what trackers know the run as; nothing where that was never written, or cannot be read any more."""
    with suppress(BadInput):
        if (folder / IDS).exists() and isinstance(found := read_json(folder / IDS), dict):
            return {str(name): str(value) for name, value in found.items()}
    return {}


def _note(text: str, *values: object) -> None:
    logging.getLogger(__name__).info(text, *values)
