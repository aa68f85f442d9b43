"""Processes that make batches ahead of time. Whatever becomes of one of them is an error in one line.

Batches come through pipes: /dev/shm, which containers make small, is not used, and a worker that dies closes its pipe.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import TypeVar, cast

from resnas_deploy.errors import BadInput
from resnas_deploy.processes import ending
from resnas_deploy.processes.guardian import ending_with_us

Item = TypeVar("Item")
Made = TypeVar("Made")

_AHEAD = 2  # items that each worker has
_PIPE_BYTES = 2**20  # as much as anybody may have
_LOOKS, _LOOK_S = 60, 10.0  # a batch may take ten minutes; a process that was stopped for a while is not blamed for it
_REMEDY = "give fewer `workers`, or `workers` 0"


def made_in_order(make: Callable[[Item], Made], items: Iterable[Item], workers: int) -> Iterator[Made]:
    """Yield what `make` makes of each item, in their order, by so many processes; by this one for 0.

    `make` must be such as can be pickled, and what it makes may hold arrays. Raise `BadInput` where a worker dies,
    fails, or gives nothing for ten minutes. The workers end when the iterator is closed, and when this process does.
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
        waiting: deque[_Worker] = deque()
        for number, item in enumerate(items):
            if len(waiting) == workers * _AHEAD:
                yield cast(Made, waiting.popleft().answer())
            crew[number % workers].ask(item)
            waiting.append(crew[number % workers])
        while waiting:
            yield cast(Made, waiting.popleft().answer())
    finally:
        for worker in crew:
            worker.close()


@contextmanager
def _starting() -> Iterator[None]:
    """Let workers be started: Ctrl-C, which a terminal sends to all of a group, is for this process alone."""
    resource_tracker.ensure_running()  # which lets Ctrl-C through when it starts
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with ending_with_us():
            yield
    except OSError as error:
        raise BadInput(f"the image workers cannot be started: {error.strerror or error}; {_REMEDY}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Worker:
    """One process, seen from here."""

    def __init__(self, make: bytes) -> None:
        context = multiprocessing.get_context("spawn")
        requests, self._requests = context.Pipe(duplex=False)
        self._answers, answers = context.Pipe(duplex=False)
        with suppress(OSError):  # a user may have only so much
            fcntl.fcntl(answers.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._process = context.Process(target=_work, args=(requests, answers, make), daemon=True)
        try:
            self._process.start()
        finally:
            requests.close()
            answers.close()  # so that the pipe ends with the worker

    def ask(self, item: object) -> None:
        with suppress(BrokenPipeError):  # the answer will tell
            self._requests.send(item)

    def answer(self) -> object:
        try:
            for _ in range(_LOOKS):
                if self._answers.poll(_LOOK_S):
                    break
            else:
                raise BadInput(f"an image worker has given nothing for {_LOOKS * _LOOK_S:.0f} s; {_REMEDY}")
            problem, sizes, content = self._answers.recv()
            buffers = [_read(self._answers.fileno(), size) for size in sizes]
        except (EOFError, ConnectionError):
            raise self._death() from None
        if problem:
            raise BadInput(f"an image worker failed: {problem}; {_REMEDY}")
        return pickle.loads(content, buffers=buffers)  # of our own process

    def _death(self) -> BadInput:
        self._process.join(_LOOK_S)
        time.sleep(0.2)  # what ended it may be meant for this process too, and is said then
        ending.raise_if_ended()
        status = self._process.exitcode
        if status is not None and status < 0:
            reason = f"was ended by {signal.Signals(-status).name}"
            if status == -signal.SIGKILL:
                reason += ", as happens where memory runs out"
        else:
            reason = f"stopped with exit status {status}"
        return BadInput(f"an image worker {reason}; {_REMEDY}")

    def close(self) -> None:
        self._process.kill()
        self._process.join()
        for connection in (self._requests, self._answers):
            connection.close()


def _read(descriptor: int, size: int) -> bytearray:
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        if not (count := os.readv(descriptor, [rest])):
            raise EOFError
        rest = rest[count:]
    return content


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
                while view:
                    view = view[os.write(answers.fileno(), view) :]
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
