"""What becomes of the processes that train together: who ended before its time, and why, told to all the others.

A process that fails leaves its reason in the store by which they all met. One that was killed leaves nothing: those of
the same machine see that it is gone, and leave word of it. Nobody waits long for another: a process that is busy, or
stuck in a collective operation that nobody will complete, is interrupted.
"""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import torch.distributed as dist

from resnas_deploy.errors import BadInput, ResnasError, first_line
from resnas_deploy.processes import ending
from resnas_deploy.system import here

_FIRST = "resnas/first-loss"  # keys of the store
_MOST_REASON = 400  # characters
_SOON_S = 1.0  # within which what broke a connection is known: by its word, or since it is gone
_LOOK_S = 1.0  # between looks at the others
_PATIENCE_S = 5.0  # for this process to notice by itself
_NO_WORD = "it left no word, as where it was killed (kill -9, or memory that runs out)"
_SIGNS = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "Timed out", "TCPStore", "NCCL")


class Store(Protocol):
    """What is needed of the store by which processes meet: PyTorch's `TCPStore`."""

    def set(self, key: str, value: str) -> None: ...
    def get(self, key: str) -> bytes: ...
    def check(self, keys: list[str]) -> bool: ...
    def append(self, key: str, value: str) -> None: ...
    def compare_set(self, key: str, expected: str, value: str) -> bytes: ...


@dataclass(frozen=True)
class Loss:
    """A process that ended before its time."""

    rank: int
    reason: str

    def __str__(self) -> str:
        return f"rank {self.rank} has ended: {self.reason}"


class Peers:
    """The processes that met in a store, as one of them sees them."""

    def __init__(self, store: Store, rank: int) -> None:
        self._store, self.rank = store, rank
        self._machine = f"resnas/machine/{_machine()}"
        store.append(self._machine, f"{rank} {os.getpid()} {here.started(os.getpid())};")
        self._here: dict[int, tuple[int, str]] = {}

    def complete(self) -> None:
        """Note who is on this machine, now that all have come."""
        for entry in self._store.get(self._machine).decode().split(";")[:-1]:
            rank, process, started = entry.split()
            if int(rank) != self.rank:
                self._here[int(rank)] = int(process), started

    def tell(self, loss: Loss) -> Loss:
        """Leave word of a loss; returns the first one that there was."""
        text = f"{loss.rank} {' '.join(loss.reason.split())[:_MOST_REASON]}"
        try:
            return _read(self._store.compare_set(_FIRST, "", text))
        except Exception:  # noqa: BLE001  whoever kept the store is gone: PyTorch has several errors for that
            return loss

    def leave(self) -> None:
        """Say that this process has done its part: that it is gone then is no loss."""
        with suppress(Exception):
            self._store.set(f"resnas/done/{self.rank}", "1")

    def loss(self, patience: float = 0.0) -> Loss | None:
        """Return the first loss, waiting so many seconds for one; None where there is none."""
        until = time.monotonic() + patience
        while True:
            if (found := self._loss()) or time.monotonic() >= until:
                return found
            time.sleep(0.02)

    def _loss(self) -> Loss | None:
        try:
            if self._store.check([_FIRST]):
                return _read(self._store.get(_FIRST))
            for rank, (process, started) in self._here.items():
                if here.started(process) != started and not self._store.check([f"resnas/done/{rank}"]):
                    return self.tell(Loss(rank, _NO_WORD))
        except Exception:  # noqa: BLE001  as above: then it cannot be known
            return None
        return None


@contextmanager
def watched(peers: Peers) -> Iterator[None]:
    """Interrupt this process, as SIGTERM does, where one is lost and this one has not ended some seconds later."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_S):
            if found := peers.loss():
                with ending.last_words(str(found)):
                    if not over.wait(_PATIENCE_S):
                        _interrupt()
                    over.wait()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _interrupt() -> None:
    """Send SIGTERM to the main thread, which wakes what it waits in, where somebody handles that."""
    if callable(signal.getsignal(signal.SIGTERM)) and (main := threading.main_thread().ident):
        here.interrupt_main(main, signal.SIGTERM)


@contextmanager
def telling(peers: Peers) -> Iterator[None]:
    """Tell the others why this process ends before its time, and say here who was the first, where it was another.

    Raise `BadInput` in place of a broken connection, which is all that is seen here of what became of the other.
    """
    try:
        try:
            yield
        except Exception as error:
            if _is_connection_lost(error):
                raise _connection_lost(peers.loss(_SOON_S), error) from error
            own = Loss(peers.rank, _words(error))
            first = peers.tell(own)
            if isinstance(error, ResnasError):
                error.said = first != own and first.reason == own.reason
            raise
    except KeyboardInterrupt as error:  # which may come while it is found out who was the first
        own = Loss(peers.rank, _words(error))
        found = peers.loss(_SOON_S) or peers.tell(own)
        if found.rank == own.rank or found.reason == own.reason == "interrupted":
            raise
        with ending.last_words(str(found)):
            raise
    peers.leave()


def _read(content: bytes) -> Loss:
    rank, _, reason = content.decode().partition(" ")
    return Loss(int(rank), reason)


def _words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        number = error.args[0] if isinstance(error, ending.Ended) else signal.SIGINT
        return "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    words = first_line(error, _MOST_REASON)
    return words if isinstance(error, ResnasError) else f"{type(error).__name__}: {words}"


def _is_connection_lost(error: BaseException) -> bool:
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def _connection_lost(loss: Loss | None, error: BaseException) -> BadInput:
    found = str(loss) if loss else f"that one has ended or does not answer: {first_line(error, 150)}"
    return BadInput(
        f"the processes that train together must all be there, found {found}; start them again, with `resume` to go on "
        "from what was saved"
    )


def _machine() -> str:
    """Name what process numbers are of: a boot of a machine, and a container of it."""
    return here.process_numbers_of() or f"{platform.node()}/{os.getpid()}"
