"""Processes that make parts of batches ahead of time. Whatever becomes of one of them is an error in one line.

Batches come through pipes: /dev/shm, which containers make small, is not used, and a worker that dies closes its pipe.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeVar, cast

from resnas_deploy.errors import BadInput
from resnas_deploy.processes import ending
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.system import here

Item = TypeVar("Item")
Made = TypeVar("Made")

AHEAD = 3  # items that each worker has, in the mean: one is made, and those that wait even out how long they take
_PIPE_BYTES = 2**20  # as much as anybody may have
_LOOKS, _LOOK_S = 6000, 0.1  # an item may take ten minutes; a process that was stopped for a while is not blamed for it
_END_S = 10.0  # for a process whose pipe is closed
_REMEDY = "give fewer `workers`, or `workers` 0"


def made_in_order(
    make: Callable[[Item], Made], items: Iterable[Item], workers: int, stopped: Callable[[], bool] = lambda: False
) -> Generator[Made, None, None]:
    """Yield what `make` makes of each item, in their order, by so many processes; by this one for 0.

    `make` must be such as can be pickled, and what it makes may hold arrays. Raise `BadInput` where a worker dies,
    fails, or gives nothing for ten minutes. The workers end when the iterator is closed, and when this process does.
    Where `stopped` says so it ends too, while it waits.
    """
    if not workers:
        yield from map(make, items)
        return
    crew: list[_Worker] = []
    try:
        content = pickle.dumps(make)
        with _starting():
            for _ in range(workers):
                crew.append(_Worker(content))  # one by one: those that started are ended where one does not
        yield from _in_order(crew, iter(items), stopped)
    finally:
        for worker in crew:
            worker.close()


def _in_order(crew: Sequence[_Worker], items: Iterator[Item], stopped: Callable[[], bool]) -> Iterator[Made]:
    """Give each item to whoever has the fewest, and take what any of them has made: none waits for a slower one.

    At most `AHEAD` items a worker are asked for and not yet given.
    """
    made: dict[int, Made] = {}  # what came before its turn
    asked = given = 0
    while True:
        while asked - given < AHEAD * len(crew) and (item := next(items, None)) is not None:
            min(crew, key=lambda worker: len(worker.asked)).ask(asked, item)
            asked += 1
        if given == asked:
            return
        while given not in made:
            worker = _first_to_answer([worker for worker in crew if worker.asked], stopped)
            if worker is None:
                return
            number, answer = worker.answer()
            made[number] = cast(Made, answer)
        yield made.pop(given)
        given += 1


def _first_to_answer(asked: Sequence[_Worker], stopped: Callable[[], bool]) -> _Worker | None:
    """Return one of the workers that has an answer, or has died; None where nobody wants it any more."""
    by_connection = {worker.answers: worker for worker in asked}
    for _ in range(_LOOKS):
        if stopped():
            return None
        if ready := multiprocessing.connection.wait(by_connection, _LOOK_S):
            return by_connection[cast(Connection, ready[0])]
    raise BadInput(f"an image worker has given nothing for {_LOOKS * _LOOK_S:.0f} s; {_REMEDY}")


@contextmanager
def _starting() -> Iterator[None]:
    """Let workers be started: Ctrl-C, which a terminal sends to all of a group, is for this process alone."""
    here.start_helpers()
    mask = here.block_signals({signal.SIGINT})
    try:
        with ending_with_us():
            yield
    except OSError as error:
        raise BadInput(f"the image workers cannot be started: {error.strerror or error}; {_REMEDY}") from error
    finally:
        here.restore_signals(mask)


class _Worker:
    """One process, seen from here."""

    def __init__(self, make: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        requests, self._requests = context.Pipe(duplex=False)
        self.answers, answers = context.Pipe(duplex=False)
        self.asked: deque[int] = deque()  # the numbers of what it has not answered yet
        with suppress(OSError):  # a user may have only so much
            here.enlarge_pipe(answers.fileno(), _PIPE_BYTES)
        self._process = context.Process(target=_work, args=(requests, answers, make), daemon=True)
        try:
            self._process.start()
        finally:
            requests.close()
            answers.close()  # so that the pipe ends with the worker

    def ask(self, number: int, item: object) -> None:
        self.asked.append(number)
        with suppress(BrokenPipeError):  # the answer will tell
            self._requests.send(item)

    def answer(self) -> tuple[int, object]:
        """Return what it has made, with the number that was asked for."""
        try:
            problem, sizes, content = self.answers.recv()
            buffers = [here.receive(self.answers, size) for size in sizes]
        except (EOFError, ConnectionError):
            raise self._death() from None
        if problem:
            raise BadInput(f"an image worker failed: {problem}; {_REMEDY}")
        return self.asked.popleft(), pickle.loads(content, buffers=buffers)  # of our own process

    def _death(self) -> BadInput:
        self._process.join(_END_S)
        time.sleep(0.2)  # what ended it may be meant for this process too, and is said then
        ending.raise_if_ended()
        status = self._process.exitcode
        if status is not None and status < 0:
            reason = f"was ended by {signal.Signals(-status).name}"
            if status == -here.KILLED:
                reason += ", as happens where memory runs out"
        else:
            reason = f"stopped with exit status {status}"
        return BadInput(f"an image worker {reason}; {_REMEDY}")

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        for connection in (self._requests, self.answers):
            connection.close()


def _work(requests: Connection, answers: Connection, content: bytes) -> None:
    """Make what is asked for until nobody asks any more. A process of its own."""
    asked: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, asked), daemon=True).start()
    make, problem = None, ""
    try:
        make = pickle.loads(content)
    except BaseException as error:  # noqa: BLE001  whatever it is, the caller says it in one line
        problem = _words(error)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # the workers share the cores
    while True:
        item, found, buffers = asked.get(), b"", list[pickle.PickleBuffer]()
        if make:
            try:
                problem = ""
                found = pickle.dumps(make(item), protocol=5, buffer_callback=buffers.append)
            except BaseException as error:  # noqa: BLE001  as above
                problem, buffers = _words(error), []
        views = [buffer.raw() for buffer in buffers]
        try:
            answers.send((problem, [len(view) for view in views], found))
            for view in views:
                here.send(answers, view)
        except OSError:  # nobody is there to take it
            os._exit(0)


def _listen(requests: Connection, asked: queue.SimpleQueue[object]) -> None:
    """Take requests at once, so that whoever asks never waits; end the process when there can be no more of them."""
    try:
        while True:
            asked.put(requests.recv())
    except (EOFError, OSError):
        os._exit(0)


def _words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
