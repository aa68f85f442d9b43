"""Images decoded by several threads ahead of whoever takes them, in their order, any number of them in flat memory.

Pillow lets go of Python while it decodes and resizes, and numpy while it normalises, so that threads are enough, and
nothing is copied between processes. Whoever takes the images, such as the loop that runs a network on batches of them,
has the next ones made meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from PIL import Image

from resnas_deploy.errors import BadInput
from resnas_deploy.images.decode import load_image
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


def read_images(
    paths: Iterable[Path], preprocessing: Preprocessing, taken: str, *, threads: int = 0, ahead: int = 0
) -> Generator[Read[Path, Inputs], None, None]:
    """Yield each file's image as a network takes it whose input is `float32` or `uint8` (`preprocessing.prepare`).

    As `read_ahead` does. To the bit what a loop of `load_image` and `prepare` makes.
    """

    def make(path: Path) -> Inputs:
        return prepare(load_image(path), preprocessing, taken)

    return read_ahead(paths, make, threads=threads, ahead=ahead)


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
