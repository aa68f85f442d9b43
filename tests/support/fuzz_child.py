"""Gives one reader many damaged inputs, in a process of its own: `fuzz_child.py READER COUNT SEED SEEDS WORK`.

An input that takes more than 5 s of this process's CPU time ends the process by a signal. The number of the input is in
the file `at` of the work folder, and what came of all of them is one line of JSON on stdout.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

from support.readers import READERS

from resnas_deploy.errors import LONGEST, ResnasError

MOST_CPU = 5.0  # seconds of one input
MOST_SHOWN = 5  # tracebacks


def peak_mb() -> float:
    """The most memory that this process ever had, in MB."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1e3


def fuzz(name: str, count: int, seed: int, seeds: Path, work: Path) -> dict[str, object]:
    """What came of the inputs of a reader."""
    reader = READERS[name]
    place = work / "input"
    shutil.copytree(seeds / reader.seed, place)
    reader.read(place)  # whole: it must be accepted, and what is imported or compiled on the way is not counted
    before = peak_mb()
    found = {"inputs": 0, "refused": 0, "accepted": 0, "cpu": 0.0, "before_mb": before, "wrong": []}
    for number in range(count):
        (work / "at").write_text(str(number))
        rng = random.Random(f"{seed} {name} {number}")
        shutil.rmtree(place)
        shutil.copytree(seeds / reader.seed, place)
        reader.damage(place, rng)
        started = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, MOST_CPU)  # ends this process: nothing of Python's own need run for that
        try:
            reader.read(place)
            found["accepted"] += 1
        except ResnasError as error:
            found["refused"] += 1
            text = str(error)
            if len(text) > LONGEST or "Traceback" in text:
                found["wrong"].append(f"{number}: a message of {len(text)} characters: {text[:200]}")
        except BaseException:  # noqa: BLE001  each is what is looked for
            found["wrong"].append(f"{number}: {traceback.format_exc()[-1500:]}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        found["inputs"] += 1
        found["cpu"] = max(found["cpu"], time.process_time() - started)
    found["peak_mb"] = peak_mb()
    found["failures"], found["wrong"] = len(found["wrong"]), found["wrong"][:MOST_SHOWN]
    return found


if __name__ == "__main__":
    kind, number, start, *folders = sys.argv[1:]
    os.chdir(folders[1])
    sys.stdout.write(json.dumps(fuzz(kind, int(number), int(start), *map(Path, folders))) + "\n")
