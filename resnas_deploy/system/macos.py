"""What macOS does in its own way: renamex_np(2), F_FULLFSYNC, F_GETPATH, sysctl(8), vm_stat(1).

Written from Apple's manual pages and headers, which each function names, and tried with doubles of them alone.
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
from resnas_deploy.system.untold import has_loaded as has_loaded
from resnas_deploy.system.untold import process_numbers_of as process_numbers_of
from resnas_deploy.system.untold import started as started

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "macOS"
HOLDS = False  # /dev/fd/N is the open file itself, whose place moves on with whoever reads it
OPEN_FILE = r"(?!)"  # of a path that `path_of_open` gives: there are none
_SWAP, _EXCLUSIVE = 2, 4  # RENAME_SWAP and RENAME_EXCL of <sys/stdio.h>
_FULLFSYNC, _GETPATH = 51, 50  # of <sys/fcntl.h>
_LONGEST_PATH = 1024  # MAXPATHLEN, which F_GETPATH wants room for
_NO_FULL_FLUSH = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOTTY}
_TOOL_S = 10.0  # for a program that prints some lines
# What sysctl calls machdep.cpu.features and leaf7_features, and what the kernel of Linux does (`instructions.py`).
_X86 = {
    "AVX1.0": "avx",
    "AVX2": "avx2",
    "AVX512F": "avx512f",
    "AVX512VNNI": "avx512_vnni",
    "AVX512BF16": "avx512_bf16",
}
_ARM = {
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
}


def rename(old: Path, new: Path, *, exchange: bool = False) -> None:
    """Rename to a name that nothing has, or exchange two names (renamex_np(2), RENAME_EXCL and RENAME_SWAP).

    Raise `FileExistsError` where something has the name, and `OSError` with ENOTSUP where a file system cannot.
    """
    import ctypes

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renamex_np", None)  # since macOS 10.12
    if rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    rename.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint)
    if rename(os.fsencode(old), os.fsencode(new), _SWAP if exchange else _EXCLUSIVE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(old), None, str(new))


def flush(descriptor: int) -> None:
    """Have what was written on the disk: fsync(2) says that it gets to the drive, and F_FULLFSYNC that it stays."""
    try:
        fcntl.fcntl(descriptor, _FULLFSYNC)
    except OSError as error:
        if error.errno not in _NO_FULL_FLUSH:  # of a file system on a network
            raise
        os.fsync(descriptor)


def path_of_open(descriptor: int) -> str | None:
    """Return None: nothing leads to an open file as a file of its own."""
    del descriptor
    return None


def open_paths() -> Iterator[str]:
    """Yield the paths of the files and folders that this process has open (fcntl(2), F_GETPATH)."""
    for descriptor in os.listdir("/dev/fd"):  # noqa: PTH208  pathlib would have to be imported
        with contextlib.suppress(OSError, ValueError):
            path = fcntl.fcntl(int(descriptor), _GETPATH, b"\0" * _LONGEST_PATH)
            yield os.fsdecode(path.partition(b"\0")[0])


def process_of_descriptors(folder: str) -> str | None:
    """Return this process's number for the folder of its descriptors, fd(4); None for any other folder."""
    return str(os.getpid()) if folder == "/dev/fd" else None


def cores() -> set[int]:
    """Return the numbers of the CPU cores: no process is bound to some of them."""
    return set(range(os.cpu_count() or 1))


def free_memory() -> int | None:
    """Return the bytes of memory that are free, or that files are kept in for the next time (vm_stat(1)); or None.

    Its first line tells the page's size: "Mach Virtual Memory Statistics: (page size of 16384 bytes)".
    """
    lines = _told("/usr/bin/vm_stat").splitlines()
    size = "".join(filter(str.isdecimal, lines[0])) if lines else ""
    counts = {name: value.strip().rstrip(".") for name, _, value in (line.partition(":") for line in lines[1:])}
    found = [counts.get(f"Pages {name}", "") for name in ("free", "inactive", "speculative")]
    return int(size) * sum(map(int, found)) if size and all(map(str.isdecimal, found)) else None


def data_limit() -> int | None:
    """Return None: the limit of data that setrlimit(2) has does not hold for what mmap(2) gives."""
    return None


def limit_data(most: int | None) -> None:
    """Do nothing: see `data_limit`."""
    del most


def give_back_memory() -> None:
    """Give freed memory back to the system (malloc_zone_pressure_relief of <malloc/malloc.h>, for all zones)."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        relieve = ctypes.CDLL(None).malloc_zone_pressure_relief
        relieve.argtypes, relieve.restype = (ctypes.c_void_p, ctypes.c_size_t), ctypes.c_size_t
        relieve(None, 0)


def raise_again(number: int) -> None:
    """Send a signal once more, which also ends a wait; where a library has taken the handler away, raise it alone.

    sigaction(2) tells: its structure begins with the handler, and 0 and 1 are the usual one and none.
    """
    import ctypes

    now = (ctypes.c_size_t * 32)()  # a pointer, a mask and flags of 32 bits each, and room: other systems have more
    asked = ctypes.CDLL(None).sigaction(number, None, ctypes.byref(now))
    if asked == 0 and now[0] > 1:
        os.kill(os.getpid(), number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def end_with_parent(number: int) -> None:
    """Do nothing: no signal tells of a parent's end."""
    del number


def enlarge_pipe(descriptor: int, size: int) -> None:
    """Do nothing: the system sizes pipes by their use."""
    del descriptor, size


def processor_text() -> str:
    """Return what sysctl(8) tells of the processor, in the words that Linux has for it; nothing where it does not.

    The names are those of Apple's "Determining Instruction Set Characteristics", and of <sys/sysctl.h>.
    """
    told = dict(_pairs(_told("/usr/sbin/sysctl", "machdep.cpu", "hw.optional")))
    lines = [
        f"{ours}: {told[theirs]}"
        for ours, theirs in (
            ("model name", "machdep.cpu.brand_string"),
            ("cpu family", "machdep.cpu.family"),
            ("model", "machdep.cpu.model"),
            ("stepping", "machdep.cpu.stepping"),
        )
        if theirs in told
    ]
    if "machdep.cpu.features" in told:
        names = f"{told['machdep.cpu.features']} {told.get('machdep.cpu.leaf7_features', '')}".split()
        names += [name for name in _X86 if told.get(f"hw.optional.{name.lower().replace('.', '_')}") == "1"]
        lines.append(f"flags: {' '.join(dict.fromkeys(_X86[name] for name in names if name in _X86))}")
    elif any(name in told for name in _ARM):
        lines.append(
            f"Features: {' '.join(dict.fromkeys(word for name, word in _ARM.items() if told.get(name) == '1'))}"
        )
    return "\n".join(lines)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip()


def _told(*command: str) -> str:
    """Return what a program of the system's prints; nothing where it fails."""
    import subprocess

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, timeout=_TOOL_S, check=False).stdout.decode(
            errors="replace"
        )
    return ""
