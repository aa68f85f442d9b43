"""A process that has imported the store and forks children which write groups until they end.

Reads lines of JSON: `[STORE, WRITER, FIRST, LAST]` starts a child that writes the groups from FIRST up to LAST as that
writer, and answers its process id; that id waits for the child, and answers its exit status. Until then the id stays
the child's, ended or not.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from support.mini_space import MINI, SETTING, drawn, sampled

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.measuring.latency.store import LatencyStore

GROUP = 8
ARCHS = drawn(MINI, GROUP)


def space_of(group: int) -> SearchSpace:
    """Groups are told apart by a space of their own."""
    return replace(MINI, name=f"group {group}", stem_mid_widths=(1 + group,))


def main() -> None:
    while line := sys.stdin.readline():
        match json.loads(line):
            case [path, writer, first, last]:
                pid = os.fork()
                if pid == 0:
                    write(Path(path), writer, first, last)
                answer(pid)
            case pid:
                answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def write(path: Path, writer: int, first: int, last: int) -> None:
    status = 1
    try:
        measured = [sampled(arch, 1.0 + writer) for arch in ARCHS]
        with LatencyStore(path) as store:
            for group in range(first, last):
                for setting in (SETTING, replace(SETTING, threads=100 + writer)):  # one that all share, one of its own
                    store.add(setting, space_of(group), "profile", 0, measured)
        status = 0
    finally:
        os._exit(status)


def answer(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
