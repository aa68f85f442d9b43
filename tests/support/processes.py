"""Processes of this machine as tests see them, and waiting for what becomes of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

PATIENCE = 300  # seconds for a stage or an end to come, on a slow and busy machine


def wait_for(condition, still=lambda: True, patience=PATIENCE):
    """What `condition` returns once it is true, which must come while `still` is."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert still(), "it ended before the stage came"
        assert time.monotonic() < deadline, "the stage did not come"
        time.sleep(0.002)
    return found


def gone(numbers):
    """Wait until none of the processes is left."""
    wait_for(lambda: not [number for number in numbers if is_alive(number)])


def is_alive(number):
    """Whether it runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def below(parent):
    """The numbers of all living processes that a process started, and of those that they did."""
    parents = {number: its_parent for number, (its_parent, _) in processes().items()}
    found = [parent]
    for above in found:
        found += [number for number, its_parent in parents.items() if its_parent == above]
    return found[1:]


def processes():
    """Every living process, zombies left out: its number, its parent's and its command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if state != "Z":
            found[int(folder.name)] = int(parent), [os.fsdecode(word) for word in command]
    return found


def is_worker(command):
    """Whether a command line is a builder's process."""
    return "resnas_deploy.engines.builder" in command


def worker_of(parent):
    """The number of the builder's process that `parent` started; waits for it."""
    return wait_for(
        lambda: [
            number
            for number, (its_parent, command) in processes().items()
            if its_parent == parent and is_worker(command)
        ]
    )[0]
