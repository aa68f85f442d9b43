"""How many processes decode images, and whether there is memory for them.

Batches come through pipes, so that /dev/shm, which containers make small, limits nothing; memory does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from resnas_deploy.data.demo import DemoImages
from resnas_deploy.data.labelled import ImageSubset, LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.processes.resources import free_memory, usable_cores
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.input.batches import BATCHES_AHEAD, PART
from resnas_deploy.training.input.image_workers import AHEAD
from resnas_deploy.training.run import TrainingRun

MOST_WORKERS = 256
_WORKER = 60e6  # bytes of a worker: 36 MB of its own at 500 x 375 pixels, and more of an image that is larger
_PARTS = 2  # that it holds: one is made while the other waits to be taken


def worker_count(
    asked: int | None,
    images: LabelledImages,
    side: int,
    batch: int,
    processes: Processes,
    *,
    crews: int = 1,
    cores: Callable[[], int] = usable_cores,
    free: Callable[[], int | None] = free_memory,
) -> int:
    """Return how many processes decode for this one: as many as are asked for.

    Unless told, they are the cores at hand, divided by the processes of this machine that train together, and no more
    than there is memory for; none for images that are in memory already where the device is the CPU, which has no time
    to spare for what needs no decoding. `batch` is the images of this process, `side` their pixels a side. At
    times there are so many `crews` of workers at once.

    Raise `BadInput`, before any is started, where the memory does not hold what was asked for.
    """
    together = processes.share.local_processes
    crews_here = crews * together
    if asked is None:
        if is_in_memory(images) and processes.device.type == "cpu":
            return 0
        wanted = min(MOST_WORKERS, max(1, cores() // together))
    else:
        wanted = asked
    room = free()
    if not wanted or room is None:
        return wanted
    fits = next((n for n in range(wanted, 0, -1) if crews_here * bytes_of(n, side, batch) <= room), 0)
    if asked is None:
        return fits
    if fits < wanted:
        each = f" in each of {together} processes" if together > 1 else ""
        raise BadInput(
            f"{wanted} `workers`{each} must fit into memory: they need "
            f"{crews_here * bytes_of(wanted, side, batch) / 1e9:.1f} GB, found {room / 1e9:.1f} GB free; "
            f"give at most {fits}" + ("" if fits else ", or close what else takes memory")
        )
    return wanted


def bytes_of(workers: int, side: int, batch: int) -> float:
    """Return how many bytes so many workers take, with what is on its way from them and what is made of it."""
    image = 3 * side * side
    return workers * (_WORKER + (_PARTS + AHEAD) * PART * image) + (BATCHES_AHEAD + 2) * batch * image


def is_in_memory(images: LabelledImages) -> bool:
    """Whether the images need no decoding."""
    while isinstance(images, ImageSubset):
        images = images.whole
    return isinstance(images, DemoImages)


def with_workers(run: TrainingRun, asked: int | None, processes: Processes) -> TrainingRun:
    """Return a run with its number of workers (`worker_count`): those of training stay while others evaluate."""
    own = run.recipe.batch // processes.share.processes
    return replace(run, workers=worker_count(asked, run.train, run.arch.image_size, own, processes, crews=2))
