"""What this process may use of the machine: cores and memory, by affinity and by control groups of both versions.

A container's quota of CPU time does not show in the number of cores: with a thread for each core, all of them stand
still for a part of every period. cgroups(7), cpuset(7) and the kernel's cgroup-v1 and cgroup-v2 documents say what the
files are. Limits hold for all that is below: a group's ancestors count, as far as they can be seen from here. `root` is
where `proc` and `sys` are. What is not exposed, cannot be read, or is no number is no limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from resnas_deploy.system import here

ROOT = Path("/")
_USUAL = "sys/fs/cgroup"  # where groups are mounted, if /proc/self/mountinfo does not tell
_MEMINFO = "proc/meminfo"
_V1, _V2 = "cgroup", "cgroup2"  # types of file systems
_ESCAPED = re.compile(r"\\([0-7]{3})")  # a space, tab, newline or backslash in a path (proc_pid_mountinfo(5))
_MOST_DIGITS = 20  # of a number of the kernel's, which has 64 bits
_BEYOND = 2**62  # bytes: version 1 has no word for no limit, but a number larger than any memory


@dataclass(frozen=True)
class Throttling:
    """How often and how long the groups' quota kept this process from running, since they were made."""

    periods: int
    seconds: float | None


def usable_cores(root: Path = ROOT) -> int:
    """Return the number of CPU cores that this process may keep busy, by its affinity and its quota rounded up."""
    cores, quota = len(here.cores()), cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(root: Path = ROOT) -> float | None:
    """Return the cores' worth of CPU time that the control groups allow, or None where there is no quota."""
    found = [_quota(folder, version) for folder, version in _groups("cpu", root)]
    return min((quota for quota in found if quota is not None), default=None)


def throttling(root: Path = ROOT) -> Throttling | None:
    """Return what the quota has cost so far; None where no group counts it."""
    counted = [(_counters(folder / "cpu.stat"), version) for folder, version in _groups("cpu", root)]
    counted = [(counters, version) for counters, version in counted if "nr_throttled" in counters]
    if not counted:
        return None
    seconds = [
        counters["throttled_usec"] / 1e6 if version == _V2 else counters["throttled_time"] / 1e9
        for counters, version in counted
        if ("throttled_usec" if version == _V2 else "throttled_time") in counters
    ]
    return Throttling(sum(counters["nr_throttled"] for counters, _ in counted), sum(seconds) if seconds else None)


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the bytes that the control groups allow, or None where there is no limit."""
    return min((limit for limit, _ in _memory(root)), default=None)


def free_memory(root: Path = ROOT) -> int | None:
    """Return the bytes that the machine has free, or the control group with the least left if that is less."""
    found = [max(0, limit - used) for limit, used in _memory(root) if used is not None]
    if (available := _available(root) if (root / _MEMINFO).is_file() else here.free_memory()) is not None:
        found.append(available)
    return min(found, default=None)


def _quota(folder: Path, version: str) -> float | None:
    if version == _V2:
        words = _text(folder / "cpu.max").split()  # "50000 100000", or "max 100000"
    else:
        words = [_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]  # -1 is no quota
    quota, period = (_integer(word) for word in words) if len(words) == 2 else (None, None)
    return quota / period if quota and period else None


def _memory(root: Path) -> Iterator[tuple[int, int | None]]:
    """Yield limit and use of each group with a limit. What the kernel would drop of its cache of files is not used."""
    for folder, version in _groups("memory", root):
        names = ("memory.max", "memory.current", "inactive_file")
        if version == _V1:
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        statistics = _counters(folder / "memory.stat")
        used = _integer(_text(folder / names[1]))
        if used is not None:
            used = max(0, used - statistics.get(names[2], 0))
        limit = _integer(_text(folder / names[0]))
        if limit is not None and limit < _BEYOND:
            yield limit, used
        # The only word of a version 1 group's ancestors that cannot be seen from inside a container.
        above = statistics.get("hierarchical_memory_limit", _BEYOND)
        if above < (_BEYOND if limit is None else min(limit, _BEYOND)):
            yield above, used


def _available(root: Path) -> int | None:
    for line in _text(root / _MEMINFO).splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "MemAvailable:" and (kibibytes := _integer(words[1])) is not None:
            return 1024 * kibibytes
    return None


def _groups(controller: str, root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folders of this process's groups that a controller may have files in, from its own upwards."""
    own = _memberships(controller, root)
    for version, mounts in _mounts(controller, root).items():
        if own and version not in own:
            continue
        path = PurePosixPath(own.get(version, "/"))
        showing = [(place, top) for place, top in mounts if path.is_relative_to(top)]
        if showing and ".." not in path.parts:
            place, top = min(showing, key=lambda mount: len(mount[1]))  # of several views, the one with most ancestors
            below = path.relative_to(top)
        else:  # of another control group namespace, or of names as the host has them
            (place, _), below = mounts[0], PurePosixPath()
        if (root / place / below).is_dir():
            yield from ((root / place / part, version) for part in (below, *below.parents))


def _memberships(controller: str, root: Path) -> dict[str, str]:
    """Return the path by version of the lines of /proc/self/cgroup that matter: `4:cpu,cpuacct:/path`, `0::/path`."""
    found = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            found[_V2] = path
        elif controller in controllers.split(","):
            found[_V1] = path
    return found


def _mounts(controller: str, root: Path) -> dict[str, list[tuple[str, str]]]:
    """Return the place, and the group at its top, of each mounted tree that may have the controller, by version."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == _V2 or (kind[0] == _V1 and controller in kind[2].split(",")):
            place = _unescaped(fields[4]).lstrip("/")
            found.setdefault(kind[0], []).append((place, _unescaped(fields[3])))
    return found or {_V2: [(_USUAL, "/")], _V1: [(f"{_USUAL}/{controller}", "/")]}


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def _counters(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    found = {pair[0]: _integer(pair[1]) for pair in pairs if len(pair) == 2}
    return {name: value for name, value in found.items() if value is not None}


def _integer(text: str) -> int | None:
    """Return a number that is none below zero; `max` and -1 are no limit."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace", encoding="utf-8")
    except OSError:  # not exposed, or not to this user
        return ""
