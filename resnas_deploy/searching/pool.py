"""The pools that score candidates: this process, or Ray's workers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.labelled import LabelledImages, split
from resnas_deploy.data.source import open_data
from resnas_deploy.errors import BadInput, PackageMissing, ResnasError, shown
from resnas_deploy.processes import ending
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners.devices import torch_device
from resnas_deploy.searching.candidate import Score
from resnas_deploy.searching.ray_cluster import connected
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.checkpoint import load as load_checkpoint
from resnas_deploy.weights.resize import resize

if TYPE_CHECKING:
    import torch

    from resnas_deploy.searching.scorer import Scorer

RAY = "ray"
_HOME = "HOME"
_AT_ONCE = 4  # candidates of one task
_RESTARTS = 3  # of a worker that dies, and tries of a task
_START_S = 300  # for the first worker: others may hold the cluster's CPUs


class Pool(Protocol):
    """Scores subnets, in order."""

    def scores(
        self, subnets: Sequence[Subnet], target: int | None, done: Sequence[Score] = (), until: int | None = None
    ) -> list[Score]:
        """Return the score of each; `target`, `until` and each of `done` as `Scorer.score` takes them."""
        ...


def check_workers(workers: str) -> None:
    """Raise `BadInput` for what is no pool's name, `NotAvailable` without Ray."""
    if not workers:
        return
    if workers.partition(":")[0] != RAY:
        raise BadInput(f"`workers` must be ray or ray:ADDRESS, found {shown(workers)}")
    if importlib.util.find_spec("ray") is None:
        raise PackageMissing("`workers` ray needs the package ray", "pip install 'ray>=2.40'")


@dataclass(frozen=True)
class ScorerSource:
    """Makes a scorer wherever it is sent: it reads the supernet and the images there."""

    supernet: Path
    data: str
    batch: int
    device: str  # "": a GPU where there is one
    image_workers: int | None = None  # processes that decode the images; None: by the cores at hand
    image_size: int | None = None  # None: the supernet's own

    def place(self) -> torch.device:
        """Return the device. Raise `BadInput` where it is not here."""
        return torch_device(self.device, field="eval_device")

    def __call__(self) -> Scorer:
        from resnas_deploy.searching.scorer import Scorer, decode_held_out
        from resnas_deploy.training.distributed import Processes, Share
        from resnas_deploy.training.input.worker_count import worker_count

        supernet, place = load_checkpoint(self.supernet), self.place()
        if self.image_size is not None:
            supernet = resize(supernet, self.image_size)
        images = held_out_images(supernet, self.supernet, self.data)
        side, alone = supernet.arch.image_size, Processes(Share(), place)
        workers = worker_count(self.image_workers, images, side, self.batch, alone)
        return Scorer(supernet, decode_held_out(images, supernet, self.batch, workers), place)


def held_out_images(supernet: Checkpoint, path: Path, data: str) -> LabelledImages:
    """Return what training left to the search. Raise `BadInput` where it left nothing, or the data is other data."""
    opened = open_data(data)
    check_classes(classes_of(supernet.arch.classes, supernet.task), opened.train.class_names, str(path))
    if supernet.task is None or not supernet.task.held_out:
        raise BadInput(
            f"{path} must have been trained with held_out images of each class, found none; "
            "train it by: `train.supernet()`"
        )
    return split(opened.train, supernet.task.held_out)[1]


@contextmanager
def opened_pool(workers: str, scorer: Callable[[], Scorer]) -> Iterator[Pool]:
    """Yield this process, or for `ray` or `ray:ADDRESS` an actor for each CPU (GPU) of that cluster.

    `scorer` makes what scores; it is sent to the workers, and reads its files there. Raise `BadInput`, `NotAvailable`.
    """
    check_workers(workers)
    if not workers:
        yield scorer()
        return
    with connected(workers.partition(":")[2]) as ray:
        yield _RayPool(ray, scorer)


class _RayPool:
    """Actors that are started again where they die, and their tasks with them; not for ever."""

    def __init__(self, ray: Any, scorer: Callable[[], Scorer]) -> None:
        resources: dict[str, float] = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        options: dict[str, Any] = {"max_restarts": _RESTARTS, "max_task_retries": _RESTARTS, **needs}
        actor: Any = ray.remote(**options)(_Actor)
        actors = [actor.remote(scorer, os.environ.get(_HOME)) for _ in range(max(1, gpus or cpus))]
        with _said_in_a_line():
            asked = {each.ready.remote(): each for each in actors}
            there, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_START_S)
            if not there:
                raise BadInput(
                    f"one of Ray's workers must start within {_START_S} s, found none; is the cluster busy? "
                    "without `workers` this process does the work"
                )
            self._pool = import_quietly("ray.util.actor_pool").ActorPool([asked[answer] for answer in there])

    def scores(
        self, subnets: Sequence[Subnet], target: int | None, done: Sequence[Score] = (), until: int | None = None
    ) -> list[Score]:
        starts = range(0, len(subnets), _AT_ONCE)
        parts = [(subnets[start : start + _AT_ONCE], done[start : start + _AT_ONCE]) for start in starts]
        with _said_in_a_line():
            found = list(
                self._pool.map(lambda actor, part: actor.scores.remote(part[0], target, part[1], until), parts)
            )
        return [score for scores in found for score in scores]


@contextmanager
def _said_in_a_line() -> Iterator[None]:
    """Turn what Ray's workers met into one line: our own errors as they were, others by their last line."""
    try:
        yield
    except KeyboardInterrupt:  # an interrupt, as Ray's C code hands it on
        ending.raise_if_ended()
        raise
    except import_quietly("ray.exceptions").RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ResnasError):
            raise cause from None
        raise BadInput(
            f"Ray's workers must stay alive, found one that failed and was started again {_RESTARTS} times at most: "
            f"{_words(error)}; is there memory for all? without `workers` this process does the work"
        ) from error


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return " ".join(lines[-1].split())[:200] if lines else type(error).__name__


class _Actor:
    def __init__(self, scorer: Callable[[], Scorer], home: str | None) -> None:
        import torch

        os.environ.pop(_HOME, None)  # of a cluster that was started for us, HOME is another folder
        if home is not None:
            os.environ[_HOME] = home
        torch.set_num_threads(1)
        self._make = scorer
        self._scorer: Scorer | None = None

    def ready(self) -> bool:
        """Tell that it has started."""
        return True

    def scores(
        self, subnets: Sequence[Subnet], target: int | None, done: Sequence[Score], until: int | None
    ) -> list[Score]:
        self._scorer = self._scorer or self._make()
        return self._scorer.scores(subnets, target, done, until)
