"""Run as a program it is `resnas` in a process that says to be another machine, where there is no PyTorch.

The first argument is the machine's processor. `slug_of` is what such a machine is called.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from importlib.machinery import PathFinder

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


def on_machine(cpu: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run `resnas` there."""
    command = [sys.executable, "-m", "support.other_machine", cpu, *map(str, words)]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": SEARCHED}, capture_output=True, text=True, timeout=120
    )


if __name__ == "__main__":
    sys.meta_path[:] = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
    cpu = sys.argv.pop(1)
    description.this_machine = lambda *_arguments, **_named: machine(cpu)

    from support.small_reference import make_small

    from resnas_deploy.cli.app import main

    make_small()
    main()
