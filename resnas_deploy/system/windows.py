"""What Windows does in its own way: locks of bytes, names that are nobody's, handles, no signals from outside.

Written from Microsoft's documentation and that of Python's `os` and `msvcrt`, and tried with doubles of them alone.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import importlib
import os
import signal
import sys
import time

from resnas_deploy.system.untold import has_loaded as has_loaded
from resnas_deploy.system.untold import process_numbers_of as process_numbers_of
from resnas_deploy.system.untold import started as started

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path
    from typing import Any

NAME = "Windows"
HOLDS = False  # nothing leads to an open file but its name, which cannot be another's as long as it is open
# Ctrl-C, and what ends the console or is sent to a group (Ctrl-Break). Nothing else comes from outside.
ENDING: tuple[int, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)
GONE = (errno.EPIPE, errno.EINVAL)  # what writing into a pipe says that nobody reads
KILLED = -1  # no status tells it: TerminateProcess names what it likes
_BINARY = 0x8000  # _O_BINARY of <fcntl.h>: without it the C library reads a line's end, and Ctrl-Z, in its own way
_NO_INHERIT = 0x80  # _O_NOINHERIT
# "Naming Files, Paths, and Namespaces": devices, whatever comes after a point, and what no name may have in it.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{digit}" for name in ("COM", "LPT") for digit in "0123456789¹²³")}
_FORBIDDEN = set('<>:"|?*') | {chr(code) for code in range(32)}
_IN_USE = (5, 32)  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION: an indexer or a scanner may have it for a moment
OPEN_FILE = r"(?!)"  # of a path that `path_of_open` gives: there are none
_TRIES, _PAUSE_S = 20, 0.05
_MOST_DESCRIPTORS = 512  # that the C library has unless it is asked for more (_setmaxstdio)
_LONGEST_PATH = 32_768
_READING = os.O_RDONLY | _BINARY | _NO_INHERIT
_reading = _thread.allocate_lock()
_CPU = r"HARDWARE\DESCRIPTION\System\CentralProcessor\0"
# IsProcessorFeaturePresent: PF_AVX.., PF_ARM_NEON.., PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE; Linux's words for them.
_X86 = {39: "avx", 40: "avx2", 41: "avx512f"}
_ARM = {19: "asimd", 43: "asimddp"}


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
    """Take the lock of an open file, its first byte's (msvcrt.locking). Raise `BlockingIOError` where another has it.

    All locks are exclusive; what asks for a shared one lets go of it at once.
    """
    del shared
    msvcrt = _msvcrt()
    while True:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK, errno.EDEADLOCK):
                raise
            if not wait:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
            time.sleep(_PAUSE_S)
        else:
            return


def open_for_locking(path: Path) -> int:
    """Return a descriptor of a file, for writing too; of a folder that of its lock."""
    return open_lock_of_folder(path) if path.is_dir() else os.open(path, os.O_RDWR | _BINARY | _NO_INHERIT)


def open_lock_of_folder(path: Path) -> int:
    """Return a descriptor whose lock is that of a folder: of an empty file among the temporary ones, named for it.

    A folder itself cannot be opened to be locked, and a file in it would be one of its files. It holds for this user on
    this machine; locks are let go of when the process ends, and such files stay, since one of them may just be opened.
    """
    import hashlib
    import tempfile

    os.listdir(path)  # noqa: PTH208  which raises where it is no folder that can be read
    name = os.path.normcase(os.path.realpath(path))
    folder = os.path.join(tempfile.gettempdir(), "resnas-locks")  # noqa: PTH118  as in the other systems' modules
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103  as above
    lock = os.path.join(folder, f"{hashlib.sha256(os.fsencode(name)).hexdigest()}.lock")  # noqa: PTH118  as above
    return os.open(lock, os.O_RDWR | os.O_CREAT | _BINARY | _NO_INHERIT, 0o600)


class Folder:
    """A folder by its path: descriptors of folders there are none."""

    def __init__(self, path: Path) -> None:
        if not os.path.lexists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        self._path = path

    def open(self, name: str, *, follow: bool = True) -> int:
        """Return a descriptor of a file in it, as `open_to_read` does. `name` has no folders."""
        path = self._path / name
        if not follow and path.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        return open_to_read(path)

    def link(self, name: str) -> str:
        """Return where a link in it leads to. Raise `OSError` where it is none."""
        return str((self._path / name).readlink())

    def close(self) -> None:
        """Do nothing."""


def open_to_read(path: Path | str) -> int:
    """Return a descriptor of a file, or of what a link leads to. Raise `IsADirectoryError` for a folder."""
    try:
        return os.open(path, _READING)
    except PermissionError:
        if os.path.isdir(path):  # noqa: PTH112  pathlib would have to be imported
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path)) from None
        raise


def open_locked_file(path: Path, mode: int, *, new: bool = False) -> int:
    """Return a descriptor of a file to lock, which is made where it is missing; with `new` it must be missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | _BINARY | _NO_INHERIT | (os.O_EXCL if new else 0), mode)


def open_to_flush(path: Path) -> int:
    """Return a descriptor of a file that `flush` takes: FlushFileBuffers wants one for writing, and no folder."""
    return os.open(path, os.O_RDWR | _BINARY | _NO_INHERIT)


def read_at(descriptor: int, count: int, offset: int) -> bytes:
    """Return at most so many bytes from a place of an open file, which is then where it was: there is no pread(2)."""
    with _reading:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, count)
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def is_mine(found: os.stat_result) -> bool:
    """Return True: who may remove a file is decided by its list of permissions."""
    del found
    return True


def why_no_name(path: Path) -> str:
    """Return why a path cannot be the name of a file or a folder on this system; nothing where it can.

    Some such names are taken without an error: what is written to CON.txt is gone, and `a.` becomes `a`.
    """
    for part in path.parts[bool(path.anchor) :]:
        if part.partition(".")[0].rstrip(" ").upper() in _DEVICES:
            return f"{part!r} is the name of a device of Windows"
        if part not in (".", "..") and part.endswith((".", " ")):
            return f"{part!r} ends in a point or a space, which Windows leaves out"
        if found := sorted(_FORBIDDEN & set(part)):
            return f"{part!r} has {found[0]!r} in it, which no name has on Windows"
    return ""


def user_name() -> str:
    """Return what may stand for the name of a user who has none."""
    return "user"


def cache_base(environment: Mapping[str, str]) -> str:
    """Return the folder of all programs' data of this user and this machine (FOLDERID_LocalAppData)."""
    return environment.get("LOCALAPPDATA", "")


def rename(old: Path, new: Path, *, exchange: bool = False) -> None:
    """Rename to a name that nothing has: os.rename does no more here. Raise `FileExistsError`.

    Two names cannot be exchanged: `OSError` with ENOTSUP.
    """
    if exchange:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(old), None, str(new))
    _patiently(lambda: os.rename(old, new))  # noqa: PTH104  pathlib would have to be imported


def replace(old: Path, new: Path) -> None:
    """Rename a file over another, which nobody may have open but for a moment."""
    _patiently(lambda: os.replace(old, new))  # noqa: PTH105  pathlib would have to be imported


def flush(descriptor: int) -> None:
    """Have what was written to an open file on the disk (FlushFileBuffers)."""
    os.fsync(descriptor)


def path_of_open(descriptor: int) -> str | None:
    """Return None: nothing leads to an open file as a file of its own."""
    del descriptor
    return None


def open_paths() -> Iterator[str]:
    """Yield the paths of the files that this process has open by descriptors (GetFinalPathNameByHandleW)."""
    import ctypes

    kernel, msvcrt = _kernel(), _msvcrt()
    for descriptor in range(3, _MOST_DESCRIPTORS):
        with contextlib.suppress(OSError):
            handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
            path = ctypes.create_unicode_buffer(_LONGEST_PATH)
            if 0 < kernel.GetFinalPathNameByHandleW(handle, path, _LONGEST_PATH, 0) < _LONGEST_PATH:
                yield path.value.removeprefix("\\\\?\\")


def process_of_descriptors(folder: str) -> str | None:
    """Return None: descriptors have no folder."""
    del folder
    return None


def cores() -> set[int]:
    """Return the numbers of the CPU cores that this process may run on (GetProcessAffinityMask).

    It tells those of one group of 64; a process of several groups has 0 there, and then all count.
    """
    import ctypes

    kernel, own, all_ = _kernel(), ctypes.c_size_t(), ctypes.c_size_t()
    kernel.GetCurrentProcess.restype = ctypes.c_void_p
    process = ctypes.c_void_p(kernel.GetCurrentProcess())
    if kernel.GetProcessAffinityMask(process, ctypes.byref(own), ctypes.byref(all_)) and own.value:
        return {core for core in range(own.value.bit_length()) if own.value >> core & 1}
    return set(range(os.cpu_count() or 1))


def free_memory() -> int | None:
    """Return the bytes of memory that are free (GlobalMemoryStatusEx, ullAvailPhys); None where it does not tell."""
    import ctypes

    # MEMORYSTATUSEX: its length and a percentage of 32 bits, then all and free memory and five more of 64.
    status = (ctypes.c_uint64 * 8)()
    status[0] = ctypes.sizeof(status)
    return int(status[2]) if _kernel().GlobalMemoryStatusEx(ctypes.byref(status)) else None


def data_limit() -> int | None:
    """Return None: memory is refused when it is asked for, not taken back later, so that nothing has to be limited."""
    return None


def limit_data(most: int | None) -> None:
    """Do nothing: see `data_limit`."""
    del most


def give_back_memory() -> None:
    """Do nothing: the C library's heap gives back what it can by itself."""


def never_wait(descriptor: int) -> None:
    """Do nothing: Python has had this for pipes since 3.12 alone, and what is written to them here is short."""
    del descriptor


def start_helpers() -> None:
    """Do nothing: `multiprocessing` starts none here."""


def receive(connection: Connection, size: int) -> bytearray:
    """Return so many bytes of those that `send` writes into the other end of a pipe. Raise `EOFError` at its end."""
    content = bytearray(size)
    if size:
        connection.recv_bytes_into(content)
    return content


def send(connection: Connection, content: memoryview) -> None:
    """Write bytes into a pipe, as a message: its ends are handles here, which the C library cannot write to."""
    if content:
        connection.send_bytes(content)


def block_signals(numbers: Iterable[int]) -> Any:
    """Do nothing: there are no masks of signals."""
    del numbers


def restore_signals(before: Any) -> None:
    """Do nothing: see `block_signals`."""
    del before


def interrupt_main(thread: int, number: int) -> None:
    """Have the main thread handle a signal as soon as it is back in Python (`_thread.interrupt_main`)."""
    del thread
    _thread.interrupt_main(signal.Signals(number))


def raise_again(number: int) -> None:
    """Have the main thread handle a signal once more: sending one to a process would end it (os.kill)."""
    interrupt_main(0, number)


def end_with_parent(number: int) -> None:
    """Do nothing: no signal tells of a parent's end."""
    del number


def enlarge_pipe(descriptor: int, size: int) -> None:
    """Do nothing: the size of a pipe is set when it is made."""
    del descriptor, size


def processor_text() -> str:
    """Return what the registry and IsProcessorFeaturePresent tell of the processor, in the words that Linux has for it.

    The registry's `Identifier` is such as "AMD64 Family 25 Model 1 Stepping 1".
    """
    from itertools import pairwise

    told = {}
    with contextlib.suppress(OSError, ImportError):
        winreg: Any = importlib.import_module("winreg")
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _CPU) as key:
            for name in ("ProcessorNameString", "Identifier"):
                with contextlib.suppress(OSError):
                    told[name] = str(winreg.QueryValueEx(key, name)[0]).strip()
    words = told.get("Identifier", "").split()
    numbers = dict(pairwise(words))
    lines = [f"model name: {told['ProcessorNameString']}"] if "ProcessorNameString" in told else []
    for ours, theirs in (("cpu family", "Family"), ("model", "Model"), ("stepping", "Stepping")):
        if theirs in numbers:
            lines.append(f"{ours}: {numbers[theirs]}")
    is_arm = words[:1] == ["ARMv8"]
    has = _kernel().IsProcessorFeaturePresent
    lines.append(
        f"{'Features' if is_arm else 'flags'}: "
        + " ".join(word for number, word in (_ARM if is_arm else _X86).items() if has(number))
    )
    return "\n".join(lines)


def text_output() -> None:
    """Have stdout and stderr write UTF-8 where they are no console: the code page taken otherwise lacks much."""
    for stream in (sys.stdout, sys.stderr):
        if not stream.isatty() and hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8")


def _patiently(call: Callable[[], None]) -> None:
    """Do something to a file that somebody may just have open, again for a second."""
    for left in reversed(range(_TRIES)):
        try:
            return call()
        except PermissionError as error:
            if not left or getattr(error, "winerror", None) not in _IN_USE:
                raise
        time.sleep(_PAUSE_S)
    return None


def _msvcrt() -> Any:
    return importlib.import_module("msvcrt")


def _kernel() -> Any:
    import ctypes

    return ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]  # not on other systems
