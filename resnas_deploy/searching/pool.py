"""The pools that score candidates: this process, or Ray's workers."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.devices import torch_device
from resnas_deploy.searching.candidate import Score, ignored
from resnas_deploy.searching.held_out import KEPT_BYTES, bytes_of
from resnas_deploy.searching.ray_cluster import connected, in_a_line
from resnas_deploy.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

    from resnas_deploy.searching.decoded import StoredHeldOut
    from resnas_deploy.searching.scorer import Scorer
    from resnas_deploy.training.input.batches import Batch

RAY = "ray"
_HOME = "HOME"
_AT_ONCE = 4  # candidates of one task
_RESTARTS = 3  # of a worker that dies, and tries of a task
_START_S = 300  # for the first worker: others may hold the cluster's CPUs


class Pool(Protocol):
    """Scores subnets, in order."""

    def scores(
        self, subnets: Sequence[Subnet], target: int | None, scored: Callable[[int], object] = ignored
    ) -> list[Score]:
        """Return the score of each; `target` as `Scorer.score` takes it. `scored` is told how many have one so far."""
        ...


def check_workers(workers: str) -> None:
    """Raise `BadInput` for what is no pool's name, `NotAvailable` without Ray."""
    if not workers:
        return
    if workers.partition(":")[0] != RAY:
        raise BadInput(f"`workers` must be ray or ray:ADDRESS, found {shown(workers)}")
    if importlib.util.find_spec("ray") is None:
        raise PackageMissing("`workers` ray needs the package ray", "pip install 'ray>=2.40'")


class TimedPool(Pool, Protocol):
    """A pool that tells how fast it is."""

    @property
    def workers(self) -> int:
        """Count those that score at once."""
        ...

    @property
    def kept_bytes(self) -> int:
        """Return how much each keeps of what the stem makes of the images, at most."""
        ...

    def rate(self, subnets: Sequence[Subnet], images: int) -> float:
        """Return how many of so many images a second these subnets score in the mean, on all workers together."""
        ...


@dataclass(frozen=True)
class ScorerSource:
    """Makes a scorer of a supernet and of the images that candidates are scored on, here or for Ray's workers."""

    supernet: Checkpoint
    images: LabelledImages  # in the order in which they are looked at
    batch: int
    device: str  # "": a GPU where there is one

    @property
    def bytes(self) -> int:
        """Count the bytes of the decoded images."""
        return bytes_of(len(self.images.labels), self.supernet.arch.image_size)

    def place(self) -> torch.device:
        """Return the device. Raise `BadInput` where it is not here."""
        return torch_device(self.device, field="eval_device")

    def __call__(self, progress: Progress = silent) -> Scorer:
        """Return one in this process."""
        from resnas_deploy.searching.decoded import check_room, held_here
        from resnas_deploy.searching.scorer import Scorer

        place = self.place()
        check_room(len(self.images.labels), self.supernet.arch.image_size)
        return Scorer(
            self.supernet,
            held_here(self.decoded(self._crew(place), progress), self.supernet.preprocessing),
            place,
            KEPT_BYTES,
        )

    def shared(self, put: Callable[[Any], Any], workers: int, progress: Progress = silent) -> StoredScorer:
        """Put what scorers need into a store, once for all, and return what makes one of so many on a machine."""
        import torch

        from resnas_deploy.searching.decoded import put_into

        batches = self.decoded(self._crew(torch.device("cpu")), progress)
        held_out = put_into(put, batches, self.supernet.preprocessing)
        return StoredScorer(put(self.supernet), held_out, self.device, workers)

    def decoded(self, workers: int, progress: Progress = silent) -> Iterator[Batch]:
        """Yield the images as they come from so many processes, or from this one."""
        from resnas_deploy.searching.decoded import decoded
        from resnas_deploy.training.evaluate import told

        batches = decoded(self.images, self.supernet.preprocessing, self.batch, workers)
        return told(batches, len(self.images.labels), "decoding", progress)

    def _crew(self, place: torch.device) -> int:
        """Return how many processes decode: as many as there are cores, for nobody scores yet."""
        from resnas_deploy.training.distributed import Processes, Share
        from resnas_deploy.training.input.worker_count import worker_count

        side = self.supernet.arch.image_size
        return worker_count(None, self.images, side, self.batch, Processes(Share(), place))


@dataclass(frozen=True)
class StoredScorer:
    """Makes a scorer in a worker of Ray, out of the store: no worker reads a file or decodes an image."""

    supernet: Any  # a reference to a `Checkpoint`
    held_out: StoredHeldOut
    device: str
    workers: int  # on a machine, which share what is kept of the stem

    def __call__(self) -> Scorer:
        from resnas_deploy.searching.scorer import Scorer

        get = import_quietly("ray").get
        place = torch_device(self.device, field="eval_device")
        return Scorer(get(self.supernet), self.held_out.read(get), place, KEPT_BYTES // self.workers)


@contextmanager
def opened_pool(workers: str, scorer: ScorerSource, progress: Progress = silent) -> Iterator[TimedPool]:
    """Yield this process, or for `ray` or `ray:ADDRESS` an actor for each CPU (GPU) of that cluster.

    The cluster's workers need no files: what they read is put into its object store. Raise `BadInput`, `NotAvailable`.
    """
    check_workers(workers)
    if not workers:
        yield scorer(progress)
        return
    with connected(workers.partition(":")[2], scorer.bytes + scorer.supernet.nbytes) as ray:
        yield RayPool(ray, lambda workers: scorer.shared(ray.put, workers, progress))


class RayPool:
    """Actors that are started again where they die, and their tasks with them; not for ever.

    `prepare` is told how many are on a machine, and returns what is sent to each to make its scorer.
    """

    def __init__(self, ray: Any, prepare: Callable[[int], Callable[[], TimedPool]]) -> None:
        resources: dict[str, float] = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        options: dict[str, Any] = {"max_restarts": _RESTARTS, "max_task_retries": _RESTARTS, **needs}
        actor: Any = ray.remote(**options)(_Actor)
        count, machines = max(1, gpus or cpus), sum(bool(node.get("Alive")) for node in ray.nodes())
        self._together = -(-count // max(1, machines))
        with in_a_line(_not_stored):
            # Held here, so that a worker that is started again finds it: what a worker is made with, Ray may let go.
            self._scorer = [ray.put(prepare(self._together))]
        actors = [actor.remote(os.environ.get(_HOME)) for _ in range(count)]
        with in_a_line(_not_scored):
            asked = {each.ready.remote(): each for each in actors}
            there, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_START_S)
            if not there:
                raise BadInput(
                    f"one of Ray's workers must start within {_START_S} s, found none; is the cluster busy? "
                    "without `workers` this process does the work"
                )
            self._ray, self._actors = ray, [asked[answer] for answer in there]
            self._pool = import_quietly("ray.util.actor_pool").ActorPool(self._actors)

    def scores(
        self, subnets: Sequence[Subnet], target: int | None, scored: Callable[[int], object] = ignored
    ) -> list[Score]:
        parts = [subnets[start : start + _AT_ONCE] for start in range(0, len(subnets), _AT_ONCE)]
        with in_a_line(_not_scored):
            found = list[Score]()
            for scores in self._pool.map(lambda actor, part: actor.scores.remote(self._scorer, part, target), parts):
                found += scores
                scored(len(found))
        return found

    @property
    def workers(self) -> int:
        return len(self._actors)

    @property
    def kept_bytes(self) -> int:
        return KEPT_BYTES // self._together

    def rate(self, subnets: Sequence[Subnet], images: int) -> float:
        """Return what all of them together score, timed at once, as they will work."""
        with in_a_line(_not_scored):
            return float(
                sum(self._ray.get([actor.rate.remote(self._scorer, subnets, images) for actor in self._actors]))
            )


def _not_stored(why: str) -> str:
    return (
        f"the supernet and the images must fit into the store of Ray's machines, found: {why}; give the cluster a "
        "larger one (object_store_memory), or score on fewer images"
    )


def _not_scored(why: str) -> str:
    return (
        f"Ray's workers must stay alive, found one that failed and was started again {_RESTARTS} times at most: "
        f"{why}; is there memory for all? without `workers` this process does the work"
    )


class _Actor:
    """Scores in a process of Ray's. What makes its scorer comes with each task, by a reference in a list."""

    def __init__(self, home: str | None) -> None:
        import torch

        os.environ.pop(_HOME, None)  # of a cluster that was started for us, HOME is another folder
        if home is not None:
            os.environ[_HOME] = home
        torch.set_num_threads(1)
        self._scorer: TimedPool | None = None

    def ready(self) -> bool:
        """Tell that it has started."""
        return True

    def scores(self, scorer: Sequence[Any], subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        return self._made(scorer).scores(subnets, target)

    def rate(self, scorer: Sequence[Any], subnets: Sequence[Subnet], images: int) -> float:
        return self._made(scorer).rate(subnets, images)

    def _made(self, scorer: Sequence[Any]) -> TimedPool:
        if self._scorer is None:
            make: Callable[[], TimedPool] = import_quietly("ray").get(scorer[0])
            self._scorer = make()
        return self._scorer
