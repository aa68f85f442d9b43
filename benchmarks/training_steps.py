"""What a training step costs beside its passes, and what a demo's step costs with them, over another checkout's.

Run on an idle machine: .venv/bin/python benchmarks/training_steps.py --before FOLDER
FOLDER is a checkout of the code to compare with. Both run in this environment, each in child processes with its own
code (PYTHONPATH), in turns, so that a machine that slows down slows both. Four minutes.

**Host work** is what a GPU's process does while its GPU computes: everything of the training loop from one batch to the
next, logging included, but the passes forward and back. On a machine without a GPU the device's own work would be
counted too, so there is as good as none: the batch has 128 images of 8 pixels a side, and the space the tiny space's
questions, blocks and number of tensors, but a sixteenth of its channels. The passes are replaced by gradients that are
there already, and the time inside the kernels that update lists of tensors (AdamW's, the average's) is left out on both
sides: a GPU is given each in one launch. One thread, as the host's is. Writes results/training-host-work.json.

**A demo's step** is the whole step, passes too: a supernet's, in groups of 16 and of 32, and a single network's, on 64
images of 32 pixels, on all cores. Writes results/training-demo-step.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from recording import ratio, write_result

from resnas_deploy.runners.base import usable_cores

ROOT = Path(__file__).parents[1]
CHILD = Path(__file__).with_name("training_steps_child.py")
ROUNDS = 3
MOST_MS = 2.0  # of host work a step, by the issue that asked for it

HOST = {
    f"tiny, groups of {group}": {"space": "tiny", "batch": 128, "group": group, "side": 8, "passes": False, "steps": 60}
    for group in (64, 16)
}
DEMO = {
    f"demo supernet, groups of {group}": {"space": "demo", "batch": 64, "group": group, "side": 32, "passes": True}
    | {"steps": 30}
    for group in (16, 32)
} | {"demo network": {"space": "", "batch": 64, "group": 16, "side": 32, "passes": True, "steps": 30}}


def seconds(checkout: Path, case: dict[str, object], threads: int) -> list[float]:
    """Return the seconds of each step of a case by that checkout's code."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(CHILD), json.dumps(case | {"folder": folder})],
            env=os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(cases: dict[str, dict[str, object]], checkouts: dict[str, Path], threads: int) -> dict[str, object]:
    """Return the steps' medians by round, and the ratio of now over before, of each case."""
    medians: dict[str, dict[str, list[float]]] = {case: {name: [] for name in checkouts} for case in cases}
    for _ in range(ROUNDS):
        for case, given in cases.items():
            for name, checkout in checkouts.items():
                medians[case][name].append(float(np.median(seconds(checkout, given, threads))))
    found: dict[str, object] = {}
    for case, own in medians.items():
        over = ratio(own["now"], own["before"])
        milliseconds = {name: round(1e3 * float(np.median(values)), 3) for name, values in own.items()}
        print(f"{case}: {milliseconds} ms, ratio {over['ratio']:.3f}", flush=True)
        found[case] = {"median_ms": milliseconds, "now_over_before": over, "medians_s": own}
    return found


def main() -> None:
    """Time both checkouts' steps in turns and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the code to compare with")
    checkouts = {"before": parser.parse_args().before.resolve(), "now": ROOT}
    host = measured(HOST, checkouts, 1)
    write_result("training-host-work", {"rounds": ROUNDS, "most_ms": MOST_MS, "cases": host})
    cores = usable_cores()
    demo = measured(DEMO, checkouts, cores)
    write_result("training-demo-step", {"rounds": ROUNDS, "threads": cores, "cases": demo})


if __name__ == "__main__":
    main()
