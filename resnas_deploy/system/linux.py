"""What Linux does in its own way: renameat2(2), /proc, prctl(2), affinity, limits of memory.

Its control groups are read by `processes/resources.py`, and the state of its processors by `measuring/machine`: files
that are elsewhere not there, which is no error to either.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import fcntl
import os
import signal

from resnas_deploy.system.posix import ENDING as ENDING
from resnas_deploy.system.posix import GONE as GONE
from resnas_deploy.system.posix import KILLED as KILLED
from resnas_deploy.system.posix import Folder as Folder
from resnas_deploy.system.posix import block_signals as block_signals
from resnas_deploy.system.posix import cache_base as cache_base
from resnas_deploy.system.posix import interrupt_main as interrupt_main
from resnas_deploy.system.posix import is_mine as is_mine
from resnas_deploy.system.posix import lock as lock
from resnas_deploy.system.posix import never_wait as never_wait
from resnas_deploy.system.posix import open_for_locking as open_for_locking
from resnas_deploy.system.posix import open_lock_of_folder as open_lock_of_folder
from resnas_deploy.system.posix import open_locked_file as open_locked_file
from resnas_deploy.system.posix import open_to_flush as open_to_flush
from resnas_deploy.system.posix import open_to_read as open_to_read
from resnas_deploy.system.posix import read_at as read_at
from resnas_deploy.system.posix import receive as receive
from resnas_deploy.system.posix import replace as replace
from resnas_deploy.system.posix import restore_signals as restore_signals
from resnas_deploy.system.posix import send as send
from resnas_deploy.system.posix import start_helpers as start_helpers
from resnas_deploy.system.posix import text_output as text_output
from resnas_deploy.system.posix import user_name as user_name
from resnas_deploy.system.posix import why_no_name as why_no_name

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "Linux"
HOLDS = True  # an open file has a path for as long as it is open: `path_of_open`
OPEN_FILE = r"/proc/self/fd/\d+"  # of a path that `path_of_open` gives
_NOREPLACE, _EXCHANGE = 1, 2  # of renameat2(2)
_AT_FDCWD = -100
_PR_SET_PDEATHSIG = 1


def rename(old: Path, new: Path, *, exchange: bool = False) -> None:
    """Rename to a name that nothing has, or exchange two names (renameat2(2)).

    Raise `FileExistsError` where something has the name, and `OSError` with ENOSYS, EINVAL or the like where a file
    system, a kernel, a sandbox or the C library has no such thing.
    """
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # not every libc has it
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    flags = _EXCHANGE if exchange else _NOREPLACE
    if rename(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(old), None, str(new))


def flush(descriptor: int) -> None:
    """Have what was written to an open file or folder on the disk (fsync(2))."""
    os.fsync(descriptor)


def path_of_open(descriptor: int) -> str | None:
    """Return a path that leads to an open file, whatever has its name by then; None where that cannot be."""
    path = f"/proc/self/fd/{descriptor}"
    return path if os.path.exists(path) else None  # noqa: PTH110  pathlib would have to be imported


def open_paths() -> Iterator[str]:
    """Yield the paths of the files and folders that this process has open."""
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208  pathlib would have to be imported
        with contextlib.suppress(OSError):
            yield os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115  as above


def process_of_descriptors(folder: str) -> str | None:
    """Return the number of the process whose descriptors are the files of a folder; None for any other folder."""
    parts = folder.split("/")
    if parts[:2] != ["", "proc"] or parts[-1] != "fd" or not parts[2:3] or not parts[2].isdecimal():
        return None
    if len(parts) == 4 or (len(parts) == 6 and parts[3] == "task" and parts[4].isdecimal()):
        return parts[2]
    return None


def cores() -> set[int]:
    """Return the numbers of the CPU cores that this process may run on (sched_setaffinity(2))."""
    return os.sched_getaffinity(0)


def free_memory() -> int | None:
    """Return the bytes of memory that are free; None here, where `processes/resources.py` reads the kernel's files."""
    return None


def data_limit() -> int | None:
    """Return the most bytes of data that this process may have (getrlimit(2)); None where there is no limit."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def limit_data(most: int | None) -> None:
    """Let this process have at most so many bytes of data (setrlimit(2))."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY if most is None else most, hard))


def give_back_memory() -> None:
    """Give freed memory back to the system (malloc_trim(3)); nothing where the C library cannot (musl)."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def raise_again(number: int) -> None:
    """Send a signal once more, which also ends a wait; where a library has taken the handler away, raise it alone."""
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123  pathlib would have to be imported
        caught = int(file.read().partition(b"SigCgt:")[2].split()[0], 16)
    if caught >> (number - 1) & 1:
        os.kill(os.getpid(), number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def end_with_parent(number: int) -> None:
    """Have the kernel send a signal to this process when the thread that started it ends (prctl(2)); 0 for none."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def enlarge_pipe(descriptor: int, size: int) -> None:
    """Let a pipe hold more bytes before whoever writes must wait. Raise `OSError` where a user has enough already."""
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, size)


def processor_text() -> str:
    """Return what the kernel says of each core, the text of /proc/cpuinfo; nothing where that is not exposed."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  as above
            return file.read()
    except OSError:
        return ""


def process_numbers_of() -> str:
    """Name what numbers of processes are of: a boot of a machine, and a container of it; nothing where hidden."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123  before pathlib is imported
        return file.read().strip() + os.readlink("/proc/self/ns/pid")  # noqa: PTH115  as above
    return ""


def started(process: int) -> str:
    """Return when a process began, in the kernel's ticks; nothing where it has ended, whoever has its number now."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123  as above
        state, *others = file.read().rpartition(b")")[2].decode().split()
        if state not in ("Z", "X"):
            return others[18]
    return ""


def has_loaded(library: str) -> bool | None:
    """Whether this process has loaded a library, by whomever; None where the system does not tell."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  as above
            return f"/{library}" in file.read()
    except OSError:
        return None
