"""Images decoded by several threads ahead of whoever takes them, in their order, any number of them in flat memory.

Pillow lets go of Python while it decodes and resizes, and numpy while it normalises, so that threads are enough, and
nothing is copied between processes. Whoever takes the images, such as the loop that runs a network on batches of them,
has the next ones made meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

from resnas_deploy.arch.inputs import InputKind
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Inputs, Preprocessing, prepare
from resnas_deploy.processes.resources import usable_cores

Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 4  # images for each thread: one is made, and those that wait even out how long they take


@dataclass(frozen=True)
class Read(Generic[Item, Made]):
    """An image that was read, or what is wrong with it."""

    index: int  # from 0, in the order of what was asked for
    item: Item
    made: Made | None  # None where it could not be read
    error: str = ""  # one line, which names it; empty where it was read


def read_ahead(
    items: Iterable[Item], make: Callable[[Item], Made], *, threads: int = 0, ahead: int = 0
) -> Generator[Read[Item, Made], None, None]:
    """Yield what `make` makes of each item, in their order, made by so many threads (0: one for each core).

    What raises `BadInput` is yielded with its message, and the others go on; anything else that `make` raises is raised
    here. It is called from several threads at once. At most `ahead` items, and no less than `AHEAD` for each thread,
    are taken and not yet yielded: so many results are in memory, however many items there are. Close the generator to
    be rid of the threads before its end; Ctrl-C does.
    """
    threads = threads or usable_cores()
    ahead = max(ahead, AHEAD * threads)
    waiting: deque[tuple[int, Item, Future[Made]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="images")
    try:
        for index, item in enumerate(items):
            if len(waiting) == ahead:
                yield _read(*waiting.popleft())
            waiting.append((index, item, pool.submit(make, item)))
        while waiting:
            yield _read(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class ReadBatch(Generic[Item]):
    """Images that were read together."""

    images: Inputs  # (batch, ..), as the network takes them; zeros where one could not be read, and beyond the last
    reads: tuple[Read[Item, Inputs], ...]  # at most as many, in order; of one that was read, its row of `images`

    def __len__(self) -> int:
        return len(self.reads)


def read_batches(
    items: Iterable[Item],
    load: Callable[[Item], Image.Image],
    preprocessing: Preprocessing,
    kind: InputKind,
    batch: int,
    *,
    threads: int = 0,
) -> Generator[ReadBatch[Item], None, None]:
    """Yield images in batches of one size, all full but the last, as `read_ahead` reads them.

    `load` gives an item's image, of mode RGB, from several threads at once. Two batches are read ahead, into the arrays
    that the network is given, so that nothing is copied later.
    """

    def places() -> Iterator[tuple[Inputs, int, Item]]:
        images: Inputs = np.empty(0, kind.name)
        for number, item in enumerate(items):
            if number % batch == 0:
                images = np.zeros(kind.shape(batch, preprocessing.image_size), kind.name)
            yield images, number % batch, item

    def make(place: tuple[Inputs, int, Item]) -> Inputs:
        images, row, item = place
        images[row] = prepare(load(item), preprocessing, kind.name)
        made: Inputs = images[row]
        return made

    with closing(read_ahead(places(), make, threads=threads, ahead=2 * batch)) as reads:
        while found := list(islice(reads, batch)):
            yield ReadBatch(
                found[0].item[0], tuple(Read(each.index, each.item[2], each.made, each.error) for each in found)
            )


def prepared(
    items: Iterable[Item],
    load: Callable[[Item], Image.Image],
    preprocessing: Preprocessing,
    taken: str,
    *,
    threads: int = 0,
) -> Generator[Inputs, None, None]:
    """Yield images as a network takes them where all must be there: the first that cannot be read is raised.

    `load` gives an item's image, of mode RGB, from several threads at once.
    """

    def make(item: Item) -> Inputs:
        return prepare(load(item), preprocessing, taken)

    for read in read_ahead(items, make, threads=threads):
        if read.made is None:
            raise BadInput(read.error)
        yield read.made


def _read(index: int, item: Item, future: Future[Made]) -> Read[Item, Made]:
    try:
        return Read(index, item, future.result())
    except BadInput as error:
        return Read(index, item, None, str(error))
