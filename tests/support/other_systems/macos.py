"""macOS, as docs.python.org and Apple's manual pages (renamex_np(2), fcntl(2), sysctl(8), vm_stat(1)) describe it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import sys

from support.other_systems.hiding import hide_kernel_files, hide_modules, preload, take_away

FULLFSYNC, GETPATH = 51, 50
_OS = (  # "Availability: Linux"
    *("sched_getaffinity", "sched_setaffinity", "pidfd_open", "memfd_create", "copy_file_range", "posix_fadvise"),
    *("posix_fallocate", "O_PATH", "O_TMPFILE", "O_DSYNC", "getrandom", "eventfd"),
)
# Of an Apple M1 (Determining Instruction Set Characteristics) and of an Intel Mac (`sysctl machdep.cpu`).
M1 = """machdep.cpu.brand_string: Apple M1
machdep.cpu.core_count: 8
hw.optional.floatingpoint: 1
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_BF16: 0
hw.optional.arm.FEAT_I8MM: 0
"""
INTEL = """machdep.cpu.vendor: GenuineIntel
machdep.cpu.brand_string: Intel(R) Core(TM) i7-1068NG7 CPU @ 2.30GHz
machdep.cpu.family: 6
machdep.cpu.model: 126
machdep.cpu.stepping: 5
machdep.cpu.features: FPU VME SSE4.2 AVX1.0 RDRAND F16C
machdep.cpu.leaf7_features: AVX2 AVX512F
hw.optional.avx2_0: 1
hw.optional.avx512vnni: 1
"""
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                              100000.
Pages active:                            300000.
Pages inactive:                          200000.
Pages speculative:                         5000.
Pages throttled:                              0.
"Translation faults":                 123456789.
"""


class Libc:
    """What ctypes finds in the process itself: functions of Apple's C library, by those of Linux that do the same."""

    hidden = frozenset({"renameat2", "prctl", "malloc_trim"})

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        if name in self.hidden:
            raise AttributeError(f"dlsym(RTLD_DEFAULT, {name}): symbol not found")
        if name == "renamex_np":
            return Renamex(self._real)
        if name == "malloc_zone_pressure_relief":
            return Relief()
        return getattr(self._real, name)


class Renamex:
    """renamex_np(2): RENAME_SWAP is 2, RENAME_EXCL is 4."""

    argtypes = ()

    def __init__(self, real):
        self._real = real

    def __call__(self, old, new, flags):
        return self._real.renameat2(-100, old, -100, new, {2: 2, 4: 1}[flags])


class Relief:
    argtypes, restype = (), None

    def __call__(self, zone, goal):
        assert (zone, goal) == (None, 0)
        return 0


def become():
    """Make this process one of macOS. Nothing of ours may be imported yet."""
    kept = preload()
    real_libc, real_fcntl, real_link = ctypes.CDLL, fcntl.fcntl, os.readlink
    real_list = os.listdir

    def libc(name, *arguments, **options):
        found = real_libc(name, *arguments, **options)
        return Libc(found) if name is None else found

    def control(descriptor, command, argument=0):
        if command == FULLFSYNC:
            os.fsync(descriptor)
            return 0
        if command == GETPATH:
            path = os.fsencode(real_link(f"/proc/self/fd/{descriptor}"))
            assert len(argument) == 1024
            if not path.startswith(b"/"):
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            return path.ljust(1024, b"\0")
        return real_fcntl(descriptor, command, argument)

    ctypes.CDLL, fcntl.fcntl = libc, control
    take_away(fcntl, ("F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_OFD_SETLK"))
    take_away(os, _OS)
    take_away(signal, ("pidfd_send_signal", "sigtimedwait", "sigwaitinfo"))
    hide_kernel_files()
    hidden = os.listdir
    os.listdir = lambda path=".": real_list("/proc/self/fd") if path == "/dev/fd" else hidden(path)
    hide_modules("openvino")  # not installed
    sys.platform = "darwin"
    return kept
