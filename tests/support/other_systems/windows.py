"""Windows, as docs.python.org (`os`, `signal`, `msvcrt`, `winreg`) and learn.microsoft.com describe it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path

from support.other_systems.hiding import hide_kernel_files, hide_modules, preload, take_away

_BINARY, _NO_INHERIT = 0x8000, 0x80  # of <fcntl.h>
_OS = (  # "Availability: Unix", or Linux
    *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "getpgrp", "killpg", "setsid", "setpgid"),
    *(
        "uname",
        "pathconf",
        "fpathconf",
        "statvfs",
        "fstatvfs",
        "pread",
        "pwrite",
        "preadv",
        "pwritev",
        "readv",
        "writev",
    ),
    *(
        "posix_fadvise",
        "posix_fallocate",
        "sched_getaffinity",
        "sched_setaffinity",
        "sysconf",
        "wait3",
        "wait4",
        "waitid",
    ),
    *("pidfd_open", "memfd_create", "sendfile", "copy_file_range", "chown", "lchown", "fchown", "mkfifo", "nice"),
    *("set_blocking", "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_PATH", "O_TMPFILE"),
    *("O_SYNC", "O_DSYNC", "WIFSTOPPED", "WIFSIGNALED"),
)
_SIGNAL = (
    *("SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGSTOP", "SIGCONT", "SIGQUIT"),
    *("pthread_sigmask", "pthread_kill", "setitimer", "sigwait", "SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK", "alarm"),
)
_KNOWN = {signal.SIGINT, signal.SIGTERM, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV}
IN_USE = 32  # ERROR_SHARING_VIOLATION


def become():
    """Make this process one of Windows. Nothing of ours may be imported yet."""
    kept = preload()
    real_open, real_link, real_list = os.open, os.readlink, os.listdir
    real = types.SimpleNamespace(
        **{name: getattr(os, name) for name in ("rename", "replace", "unlink", "rmdir", "fsync")}
    )
    usage = os.statvfs

    def open_paths():
        for number in real_list("/proc/self/fd"):
            try:
                yield real_link(f"/proc/self/fd/{number}")
            except OSError:
                continue

    def check_unused(path):
        """Files are opened without FILE_SHARE_DELETE by the C library: nobody renames or removes what is open."""
        name = os.path.realpath(os.fspath(path))
        name = os.fsdecode(name)
        if any(found == name or found.startswith(name + os.sep) for found in open_paths()):
            error = PermissionError(errno.EACCES, "it is being used by another process", os.fspath(path))
            error.winerror = IN_USE
            raise error

    def open_(path, flags, mode=0o777, *, dir_fd=None):
        if dir_fd is not None:
            raise NotImplementedError("dir_fd unavailable on this platform")
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        if not flags & (_BINARY | os.O_WRONLY) and "resnas_deploy" in _caller():
            raise AssertionError(f"{path} must be opened with O_BINARY: bytes are changed without")
        return real_open(path, flags & ~(_BINARY | _NO_INHERIT), mode)

    def rename(old, new, **options):
        check_unused(old)
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(old), None, os.fspath(new))
        real.rename(old, new)

    def replace(old, new, **options):
        check_unused(old)
        check_unused(new)
        if Path(new).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(old), None, os.fspath(new))
        real.replace(old, new)

    def unlink(path, *, dir_fd=None):
        if not sys._getframe(1).f_code.co_filename.endswith("tempfile.py"):  # whose own way is O_TEMPORARY there
            check_unused(path)
        real.unlink(path)

    def fsync(descriptor):
        if fcntl_.fcntl(descriptor, fcntl_.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "FlushFileBuffers needs GENERIC_WRITE")
        real.fsync(descriptor)

    def disk_usage(path):
        found = usage(path)
        total, free = found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
        return shutil._ntuple_diskusage(total, total - free, free)

    def handled(number, handler):
        if number not in _KNOWN:
            raise ValueError("signal number out of range")  # as CPython says it there
        return real_signal(number, handler)

    def wakeup(descriptor, **options):
        if descriptor >= 0:
            real_blocking(descriptor, False)  # which is asked for, and can be looked at, on Unix alone
        return real_wakeup(descriptor, **options)

    real_wakeup, real_blocking = signal.set_wakeup_fd, os.set_blocking
    signal.set_wakeup_fd = wakeup
    fcntl_, real_signal = fcntl, signal.signal
    subprocess.Popen.kill = subprocess.Popen.terminate  # an alias there
    shutil.disk_usage = disk_usage
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # which is what it is there
    tempfile._O_TMPFILE_WORKS = False  # for whoever has the other one already
    os.open, os.rename, os.replace, os.unlink, os.remove, os.fsync = open_, rename, replace, unlink, unlink, fsync
    signal.signal = handled
    io._WindowsConsoleIO = type("_WindowsConsoleIO", (), {})  # which pytest asks for
    sys.modules["msvcrt"] = msvcrt_module(fcntl_)
    sys.modules["winreg"] = winreg_module()
    ctypes.WinDLL = lambda name, use_last_error=False: Kernel32()
    take_away(os, _OS)
    take_away(signal, _SIGNAL)
    hide_kernel_files()
    hide_modules("fcntl", "resource", "pwd", "grp", "termios", "openvino")  # the last is not installed
    sys.platform = "win32"
    return kept


def msvcrt_module(locks=fcntl):
    """`msvcrt`: locks of bytes from the place where a file is, which are let go of when it is closed."""
    module = types.ModuleType("msvcrt")
    module.LK_LOCK, module.LK_NBLCK, module.LK_UNLCK = 1, 2, 0

    def locking(descriptor, mode, count):
        assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == (module.LK_NBLCK, 1, 0)
        try:
            locks.flock(descriptor, locks.LOCK_EX | locks.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None  # _locking: EACCES

    module.locking = locking
    module.get_osfhandle = lambda descriptor: os.fstat(descriptor) and descriptor  # OSError where it is closed
    return module


def winreg_module(name="AMD EPYC 7B13 64-Core Processor", identifier="AMD64 Family 25 Model 1 Stepping 1"):
    """`winreg`, with the key of the first processor."""
    module = types.ModuleType("winreg")
    module.HKEY_LOCAL_MACHINE = 18446744071562067970
    values = {"ProcessorNameString": f"{name}    ", "Identifier": identifier}

    class Key:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    def opened(key, path):
        assert (key, path) == (module.HKEY_LOCAL_MACHINE, r"HARDWARE\DESCRIPTION\System\CentralProcessor\0")
        return Key()

    def query(key, value):
        if value not in values:
            raise FileNotFoundError(errno.ENOENT, "The system cannot find the file specified")
        return values[value], 1

    module.OpenKey, module.QueryValueEx = opened, query
    return module


def _caller():
    """The file that a function was called from, past what is here."""
    frame = sys._getframe(2)
    while "other_systems" in frame.f_code.co_filename:
        frame = frame.f_back
    return frame.f_code.co_filename


class Kernel32:
    """The functions of kernel32 that are called: their parameters, and what they answer, are Microsoft's pages'."""

    def __init__(self, mask=0b11, features=(39, 40), free=3 * 2**30):
        self.mask, self.features, self.free = mask, features, free
        self.GetCurrentProcess = _Function(lambda: ctypes.c_void_p(-1).value)  # a pseudo handle

    def GetProcessAffinityMask(self, process, own, system):  # noqa: N802  its name
        own._obj.value, system._obj.value = self.mask, self.mask
        return 1

    def GlobalMemoryStatusEx(self, status):  # noqa: N802  its name
        if status._obj[0] != 64:  # dwLength must be set
            return 0
        status._obj[1], status._obj[2] = 8 * 2**30, self.free
        return 1

    def IsProcessorFeaturePresent(self, feature):  # noqa: N802  its name
        return int(feature in self.features)

    def GetFinalPathNameByHandleW(self, handle, path, size, flags):  # noqa: N802  its name
        found = OPEN.get(handle.value)
        if found is None:
            return 0
        path.value = "\\\\?\\" + found
        return len(path.value)


OPEN: dict[int, str] = {}  # paths by handle, of what the test opened


class _Function:
    def __init__(self, call):
        self._call, self.restype = call, None

    def __call__(self, *arguments):
        return self._call(*arguments)
