"""Who evaluates candidates: this process, or Ray's workers."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from resnas_deploy.arch import Subnet
from resnas_deploy.errors import BadInput, NotAvailable, shown
from resnas_deploy.train.search.candidate import Score
from resnas_deploy.train.search.scorer import Scorer

RAY = "ray"
_AT_ONCE = 4  # candidates of one task


class Pool(Protocol):
    """Scores subnets, in order."""

    def scores(self, subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        """The score of each; `target` as `Scorer.score` takes it."""
        ...


def check_workers(workers: str) -> None:
    """Raise `BadInput` for what is no pool's name, `NotAvailable` without Ray."""
    if not workers:
        return
    if workers.partition(":")[0] != RAY:
        raise BadInput(f"--workers must be ray or ray:ADDRESS, found {shown(workers)}")
    if importlib.util.find_spec("ray") is None:
        raise NotAvailable("--workers ray needs the package ray", "pip install 'ray>=2.40'")


@contextmanager
def opened_pool(workers: str, scorer: Callable[[], Scorer]) -> Iterator[Pool]:
    """This process, or for `ray` or `ray:ADDRESS` an actor for each CPU (GPU) of that cluster.

    `scorer` makes what scores; it is sent to the workers, and reads its files there. Raises `BadInput`, `NotAvailable`.
    """
    check_workers(workers)
    if not workers:
        yield scorer()
        return
    import ray

    ray.init(
        address=workers.partition(":")[2] or None, include_dashboard=False, log_to_driver=False, configure_logging=False
    )
    try:
        yield _RayPool(scorer)
    finally:
        ray.shutdown()


class _RayPool:
    """Actors that are started again where they die, and their tasks with them."""

    def __init__(self, scorer: Callable[[], Scorer]) -> None:
        import ray
        from ray.util.actor_pool import ActorPool

        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray's own lack
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        needs = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        options: dict[str, Any] = {"max_restarts": -1, "max_task_retries": -1, **needs}
        actor: Any = ray.remote(**options)(_Actor)
        self._pool = ActorPool([actor.remote(scorer) for _ in range(max(1, gpus or cpus))])

    def scores(self, subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        parts = [subnets[start : start + _AT_ONCE] for start in range(0, len(subnets), _AT_ONCE)]
        found = self._pool.map(lambda actor, part: actor.scores.remote(part, target), parts)
        return [score for scores in found for score in scores]


class _Actor:
    def __init__(self, scorer: Callable[[], Scorer]) -> None:
        import torch

        torch.set_num_threads(1)
        self._scorer = scorer()

    def scores(self, subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        return self._scorer.scores(subnets, target)
