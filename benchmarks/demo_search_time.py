"""What `make demo-search` takes here, over what it takes in another checkout, command by command.

Run on an idle machine: .venv/bin/python benchmarks/demo_search_time.py --before FOLDER
FOLDER is a checkout of the code to compare with. The command lines are those of each checkout's own Makefile; both run
in this environment, each with its own code (PYTHONPATH), in turns: a command of the one, then the same command of the
other, so that a machine that slows down slows both. Minutes: it is the sum of both; with --seconds no command is begun
after so many, and the same call goes on with those that are left, in build/demo-search-time.
Writes results/demo-search.json: seconds of each command, their ratio, and how good the winners are.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from recording import write_result

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "demo-search-time"
RESNAS = ".venv/bin/resnas"
TOP1 = re.compile(r"top-1 ([\d.]+)%")


def commands(checkout: Path) -> list[list[str]]:
    """Return the arguments of each `resnas` that `make demo-search` calls there."""
    make = ["make", "--dry-run", "--no-print-directory", "--old-file", ".venv/.ready", "demo-search"]
    said = subprocess.run(make, cwd=checkout, capture_output=True, text=True, check=True).stdout
    lines = [shlex.split(line) for line in said.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words and words[0] == RESNAS]


def run(arguments: list[str], checkout: Path, folder: Path) -> tuple[dict[str, float], str]:
    """Run one command by that checkout's code; return its seconds, and what it printed."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "resnas_deploy", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{shlex.join(arguments)}: {done.stderr[-2000:]}")
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)}, done.stdout


def found_by_search(folder: Path) -> dict[str, float]:
    """Return what the search scored best: its share of the held-out images, and how many subnets there were."""
    (path,) = folder.rglob("search.sqlite")
    with sqlite3.connect(path) as store:
        rows = store.execute("SELECT correct, seen FROM candidate WHERE NOT stopped").fetchall()
        (count,) = store.execute("SELECT COUNT(*) FROM candidate").fetchone()
    return {"best_held_out": max(correct / seen for correct, seen in rows), "subnets": count}


def main() -> None:
    """Run both sequences in turns and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of the code to compare with")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no command after so many")
    wanted = parser.parse_args()
    until = time.monotonic() + wanted.seconds
    checkouts = {"before": wanted.before.resolve(), "now": ROOT}
    asked = {name: commands(checkout) for name, checkout in checkouts.items()}
    state = KEPT / "state.json"
    done = json.loads(state.read_text()) if state.exists() else {"seconds": {name: {} for name in asked}, "winners": {}}
    for pair in zip(*asked.values(), strict=True):
        for name, arguments in zip(checkouts, pair, strict=True):
            folder = KEPT / name
            (folder / "examples").mkdir(parents=True, exist_ok=True)
            if not (folder / "examples" / "demo").exists():
                (folder / "examples" / "demo").symlink_to(checkouts[name] / "examples" / "demo")
            step = " ".join(arguments[: 2 if arguments[0] in ("train", "latency") else 1])
            if step in done["seconds"][name]:
                continue
            if time.monotonic() > until:
                print("more is to be run: call it again")
                return
            done["seconds"][name][step], said = run(arguments, checkouts[name], folder)
            print(f"{name:7}{step:18}{done['seconds'][name][step]['wall_s']:8.1f} s", flush=True)
            if step == "evaluate" and (top1 := TOP1.search(said)):
                done["winners"][name] = {"top1": float(top1[1])} | found_by_search(folder)
            state.write_text(json.dumps(done))
    seconds = done["seconds"]
    totals = {name: round(sum(step["wall_s"] for step in steps.values()), 1) for name, steps in seconds.items()}
    wall = totals["now"] / totals["before"]
    print(f"{totals}, ratio {wall:.2f}; {done['winners']}")
    write_result(
        "demo-search",
        {
            "commands": {name: [shlex.join(arguments) for arguments in lines] for name, lines in asked.items()},
            "seconds": seconds,
            "total_s": totals,
            "ratio": wall,
            "winners": done["winners"],
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),  # where the machine was shared: one
        },
    )
    shutil.rmtree(KEPT)


if __name__ == "__main__":
    main()
