"""Run as a program it is `resnas` in a process that says to be another machine, where there is no PyTorch.

The first argument is the machine's processor, and that name is all that is made up. There is the space `mini` beside
the others, and what is profiled takes short rounds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

from support.places import SEARCHED

from resnas_deploy.measuring.machine import description
from resnas_deploy.runners.base import usable_cores

_real = description.this_machine


class WithoutTorch(PathFinder):
    """Finds modules, but for PyTorch, as if it were not installed."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] == "torch" else PathFinder.find_spec(name, path, target)


def machine(cpu: str) -> description.Machine:
    """The machine that such a process says to be on."""
    return replace(_real(usable_cores()), cpu=cpu)


def on_machine(cpu: str, *words: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `resnas` there, in a folder."""
    command = [sys.executable, "-m", "support.other_machine", cpu, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": SEARCHED}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def main() -> None:
    sys.meta_path[:] = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
    cpu = sys.argv.pop(1)
    description.this_machine = lambda *_arguments, **_named: machine(cpu)

    # Only now, since some of these take that function by its name.
    from support.mini_space import MINI
    from support.small_reference import make_small

    from resnas_deploy.cli.app import main as resnas
    from resnas_deploy.measuring.latency import anchored
    from resnas_deploy.measuring.timing import WarmUp
    from resnas_deploy.weights.space_files import packaged_spaces

    make_small()
    anchored.LEAST_ROUNDS = anchored.MOST_ROUNDS = 3
    anchored.WARM = WarmUp(window=1, tolerance=0.5, most=2)
    packaged_spaces()[MINI.name] = MINI  # a dict, which is the same for all
    resnas()


if __name__ == "__main__":
    main()
