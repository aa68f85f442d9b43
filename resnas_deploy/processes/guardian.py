"""Ends what this process started once it has ended itself, however that came: `kill -9` and a crash run no cleanup.

Whatever is started from now on inherits a mark in its environment, and so does what that starts: builders, image
workers, compilers of PyTorch and theirs, Ray. The guardian, a small process that runs this file, waits for its parent
to end and ends all that bear the mark, and what those started. Nothing needs to be known about them; a parent-death
signal (prctl(2)) would have to be set in each of them, and follows the thread that started it rather than the process.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_MARK = "RESNAS_STARTED_BY_"  # then come the process's number and when it started
_ROUNDS, _PAUSE_S = 100, 0.05  # of looking for what still bears the mark: it may be starting something meanwhile
_GENTLE = 20  # of them are asked to end: a compiler then removes its temporary files
_POLL_S = 1.0  # where the kernel has no descriptors of processes
_lock = threading.Lock()
_running: dict[int, tuple[int, int]] = {}  # by the process that started a guardian: that one, and the pipe to it
_blocks = 0  # that are open


@contextmanager
def ending_with_us() -> Iterator[None]:
    """Have everything that this process starts in the block end when it does."""
    global _blocks
    with _lock:
        try:
            mark = _started()
        except OSError:  # no /proc, or no more processes: what starts next says so
            mark = f"{_MARK}NOBODY"
        _blocks += 1
        os.environ[mark] = "1"
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                os.environ.pop(mark, None)


def end_children() -> None:
    """End what this process started in such blocks and has not ended, and wait until it is gone."""
    if os.getpid() in _running:
        _end(_mark(os.getpid()))


def _started() -> str:
    """Start this process's guardian, where it has none, and return the mark that it looks for."""
    import subprocess

    mark = _mark(os.getpid())
    if _is_running():
        return mark
    waiting, held = os.pipe()  # closed by the kernel when this process ends
    try:
        guardian = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), mark],
            stdin=waiting,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # what ends a whole group must leave it
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(waiting)
    guardian.returncode = 0  # it outlives this process, and is not waited for
    for _, pipe in _running.values():  # of one that was killed; or the parent's, after a fork
        os.close(pipe)
    _running.clear()
    _running[os.getpid()] = guardian.pid, held
    return mark


def _is_running() -> bool:
    """Whether this process's guardian is there."""
    if os.getpid() not in _running:
        return False
    with suppress(ChildProcessError):
        return os.waitpid(_running[os.getpid()][0], os.WNOHANG)[0] == 0
    return False


def _mark(process: int) -> str:
    """Return the variable that marks what a process starts: numbers are used again, starting times are not."""
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123  pathlib would have to be imported
        started = file.read().rpartition(b")")[2].split()[19]
    return f"{_MARK}{process}_{started.decode()}"


def _end(mark: str) -> None:
    wanted = f"{mark}=1".encode()
    ours: set[tuple[int, str]] = set()  # kept, since they are found by a parent that ends before them
    for turn in range(_ROUNDS):
        running = _running_now()
        ours |= {each for each in running if _bears(each[0], wanted)}
        found = ours & running.keys()
        while more := {each for each, parent in running.items() if parent in {number for number, _ in found}} - found:
            found |= more  # what writes a title over its environment, as Ray's agents do, bears no mark any more
        ours |= found
        if not found:
            return
        for number, _ in found:
            with suppress(OSError):
                os.kill(number, signal.SIGTERM if turn < _GENTLE else signal.SIGKILL)
        time.sleep(_PAUSE_S)


def _running_now() -> dict[tuple[int, str], int]:
    """Return the parents of all other processes that have not ended, each by its number and when it started."""
    found = {}
    with os.scandir("/proc") as entries:
        numbers = [int(entry.name) for entry in entries if entry.name.isdecimal()]
    for number in numbers:
        with suppress(OSError), open(f"/proc/{number}/stat", "rb") as file:  # noqa: PTH123  as above
            state, parent, *others = file.read().rpartition(b")")[2].decode().split()
            if number != os.getpid() and state not in ("Z", "X"):
                found[number, others[17]] = int(parent)
    return found


def _bears(process: int, wanted: bytes) -> bool:
    """Whether a process that still runs has that in its environment."""
    with suppress(OSError), open(f"/proc/{process}/environ", "rb") as file:  # noqa: PTH123  as above
        return wanted in file.read().split(b"\0")  # of one that has ended it is empty
    return False


def main() -> None:
    """Wait until the parent has ended, and end what it has left."""
    parent, mark = int(sys.argv[1]), sys.argv[2]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when its work is done
    waiting = select.poll()
    waiting.register(0)
    pause: float | None = _POLL_S * 1e3
    with suppress(AttributeError, OSError):
        waiting.register(os.pidfd_open(parent), select.POLLIN)  # a fork of the parent may hold the pipe's other end
        pause = None
    while os.getppid() == parent:
        if waiting.poll(pause):
            break
    _end(mark)


if __name__ == "__main__":
    main()
