"""Gives readers many damaged inputs, each reader in a child of this process, which has imported what is heavy.

Reads lines of JSON, `[READER, COUNT, SEED, SEEDS, WORK]`, and answers the child's exit status. The work folder then has
what came of the inputs as JSON in `found`, what else was said in `said`, and the number of the latest input in `at`. An
input that takes more than 5 s of the child's CPU time ends it by a signal.
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

from support import whole_inputs as _  # noqa: F401  what the input_readers import, before a child begins
from support.input_readers import READERS

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


def main() -> None:
    for line in sys.stdin:
        name, count, seed, seeds, work = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _child(name, count, seed, Path(seeds), Path(work))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


def _child(name: str, count: int, seed: int, seeds: Path, work: Path) -> None:
    status = 1
    try:
        os.chdir(work)
        with Path("said").open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        Path("found").write_text(json.dumps(fuzz(name, count, seed, seeds, work)))
        status = 0
    except BaseException:  # noqa: BLE001  whatever it is, the file `said` has it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
