"""What Linux and macOS do alike: locks of flock(2), folders by descriptors, masks of signals."""

from __future__ import annotations

import errno
import fcntl
import os
import signal

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path
    from typing import Any

# Signals that ask a command to end, and the one that it cannot answer to.
ENDING: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILLED: int = signal.SIGKILL
GONE = (errno.EPIPE,)  # what writing into a pipe says that nobody reads
_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
    """Take the lock of an open file or folder. Raise `BlockingIOError` where another has it, and `OSError`."""
    fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def open_for_locking(path: Path) -> int:
    """Return a descriptor of a folder, or of a file for writing too, which an exclusive lock needs on NFS."""
    usual = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | usual)
    except (IsADirectoryError, PermissionError):
        return os.open(path, os.O_RDONLY | usual)


def open_lock_of_folder(path: Path) -> int:
    """Return a descriptor whose lock is that of a folder: here one of the folder itself."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


class Folder:
    """An open folder: what is opened in it is in it, whatever has its name by then."""

    def __init__(self, path: Path) -> None:
        # Linux alone opens one that may be passed through and not listed.
        self._descriptor = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, name: str, *, follow: bool = True) -> int:
        """Return a descriptor of a file in it, as `open_to_read` does. `name` has no folders."""
        flags = _READING if follow else _READING | os.O_NOFOLLOW
        return os.open(name, flags, dir_fd=self._descriptor)

    def link(self, name: str) -> str:
        """Return where a link in it leads to. Raise `OSError` where it is none."""
        return os.readlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        """Close it. Files that were opened in it stay open."""
        os.close(self._descriptor)


def open_to_read(path: Path | str) -> int:
    """Return a descriptor of a file, of what a link leads to, or of whatever else is there. Never waits."""
    # Opening a pipe waits for a writer without O_NONBLOCK, and a terminal could become ours without O_NOCTTY.
    return os.open(path, _READING)


def open_locked_file(path: Path, mode: int, *, new: bool = False) -> int:
    """Return a descriptor of a file to lock, which is made where it is missing; with `new` it must be missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_EXCL if new else 0), mode)


def replace(old: Path, new: Path) -> None:
    """Rename a file over another, be that open or not (rename(2))."""
    os.replace(old, new)  # noqa: PTH105  pathlib would have to be imported


def open_to_flush(path: Path) -> int:
    """Return a descriptor of a file or a folder that `flush` takes."""
    return os.open(path, os.O_RDONLY)


def read_at(descriptor: int, count: int, offset: int) -> bytes:
    """Return at most so many bytes from a place of an open file, wherever else it is read."""
    return os.pread(descriptor, count, offset)


def is_mine(found: os.stat_result) -> bool:
    """Whether a file is this user's."""
    return found.st_uid == os.geteuid()


def why_no_name(path: Path) -> str:
    """Return why a path cannot be the name of a file or a folder on this system; nothing where it can."""
    del path  # the system says so itself
    return ""


def user_name() -> str:
    """Return what may stand for the name of a user who has none."""
    return str(os.geteuid())


def cache_base(environment: Mapping[str, str]) -> str:
    """Return the folder of all programs' caches where the system has its own; else nothing, and XDG's rule holds."""
    del environment
    return ""


def never_wait(descriptor: int) -> None:
    """Have writing into a full pipe fail rather than wait."""
    os.set_blocking(descriptor, False)


def start_helpers() -> None:
    """Start what `multiprocessing` starts with the first process: it lets Ctrl-C through where that is held back."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()


def receive(connection: Connection, size: int) -> bytearray:
    """Return so many bytes of those that `send` writes into the other end of a pipe. Raise `EOFError` at its end."""
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        if not (count := os.readv(connection.fileno(), [rest])):
            raise EOFError
        rest = rest[count:]
    return content


def send(connection: Connection, content: memoryview) -> None:
    """Write bytes into a pipe as they are: the reader knows how many there are."""
    while content:
        content = content[os.write(connection.fileno(), content) :]


def block_signals(numbers: Iterable[int]) -> Any:
    """Have signals wait. Return what `restore_signals` wants, which lets them come again."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, tuple(numbers))


def restore_signals(before: Any) -> None:
    """Let signals come as they did before `block_signals`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def interrupt_main(thread: int, number: int) -> None:
    """Send a signal to the main thread, whose identity is given: that also ends what it waits in."""
    signal.pthread_kill(thread, number)


def text_output() -> None:
    """Have stdout and stderr write UTF-8 where the system would choose something less: here the user's locale does."""
