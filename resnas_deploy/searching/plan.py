"""What a search would take, told before it is begun: candidates, images, time and memory. Nothing is written."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from resnas_deploy.arch.memory import memory_bytes
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.data.labelled import ImageSubset
from resnas_deploy.processes.resources import usable_cores
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.estimate import ScoringEstimate, estimated
from resnas_deploy.searching.pool import ScorerSource, opened_pool
from resnas_deploy.searching.search import SearchRequest, prepare

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class SearchPlan:
    """What a search would take but for its finalists, whose export and timing take minutes."""

    space: str
    scoring: ScoringEstimate
    stops_early: bool  # so that the time of scoring is the most that it can be
    workers: int
    decoding_s: float
    image_bytes: int  # of the images that candidates are scored on, once a machine
    worker_bytes: int  # of each worker: weights, activations, and what it keeps of the stem; without PyTorch's own

    @property
    def seconds(self) -> float:
        """Return the time until the finalists, at most."""
        return self.decoding_s + self.scoring.seconds


def plan(request: SearchRequest, progress: Progress = silent) -> SearchPlan:
    """Price a search: check all that it would check, and time a few passes on the workers that it would have.

    Raise what `search` does before it begins.
    """
    prepared = prepare(request, progress)
    source, problem = prepared.scorer, prepared.problem
    progress("timing a few passes")
    few = replace(source, images=ImageSubset(source.images, np.arange(min(source.batch, problem.held_out))))
    with opened_pool(request.scoring.workers, few) as pool:
        scoring, workers = estimated(problem, pool), pool.workers
    return SearchPlan(
        space=problem.space.name,
        scoring=scoring,
        stops_early=problem.stops_early,
        workers=workers,
        decoding_s=_decoding_s(few) / usable_cores() * problem.held_out,
        image_bytes=source.bytes,
        worker_bytes=memory_bytes(problem.space.widest().arch, source.batch)
        + min(pool.kept_bytes, problem.held_out * _stem_bytes(source.supernet.arch)),
    )


def _decoding_s(few: ScorerSource) -> float:
    """Return the seconds that a core takes to decode an image."""
    started = time.perf_counter()
    count = sum(len(batch.labels) for batch in few.decoded(0))
    return (time.perf_counter() - started) / count


def _stem_bytes(arch: ArchSpec) -> int:
    """Count the bytes of what the stem makes of an image, which is kept."""
    mid = arch.stem_mid_width
    return _FLOAT * (mid * (arch.image_size // 2) ** 2 if mid else 3 * arch.image_size**2)
