"""The environment of a command: what libraries read of it is made right, or refused by name, before they do."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

from resnas_deploy.cli.options import MAX_THREADS
from resnas_deploy.errors import BadInput
from resnas_deploy.processes.quiet import turn_off
from resnas_deploy.processes.resources import usable_cores
from resnas_deploy.system import here

_MOST_DIGITS = 4  # of a terminal's columns and lines, and of threads
# PyTorch, NumPy and their libraries start so many threads; wrong ones end in a thread that cannot be started, or worse.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# What OpenMP complains of where it is empty; where the last one is no list of cores, it never ends.
_OPENMP = ("OMP_PLACES", "OMP_PROC_BIND", "OMP_SCHEDULE", "GOMP_CPU_AFFINITY")
_CORES = re.compile(r"[0-9]{1,4}(-[0-9]{1,4}(:[0-9]{1,4})?)?([, ]+[0-9]{1,4}(-[0-9]{1,4}(:[0-9]{1,4})?)?)*", re.ASCII)
_TERMINAL = ("COLUMNS", "LINES", "TERMINAL_WIDTH")  # the last is typer's


def prepare(environment: MutableMapping[str, str]) -> None:
    """Make it right for everything that this process imports and starts. Raise `BadInput` that names a variable.

    Nobody is reported to; a terminal's size that is none is forgotten, and one that has no name is dumb; colours are as
    they are asked for; the libraries' threads are no more than a quota of CPU time has cores.
    """
    _colours(environment)
    turn_off(environment, ours=True)
    for name in _TERMINAL:
        if name in environment and not _is_number(environment[name]):
            del environment[name]
    for name in (*_OPENMP, *_THREADS):
        if name in environment and not environment[name].strip():  # an empty one says nothing
            del environment[name]
    for name in _THREADS:
        if name in environment:
            _check_threads(name, environment[name])
    affinity = environment.get("GOMP_CPU_AFFINITY", "0").strip()
    if not _CORES.fullmatch(affinity):
        raise BadInput(_wrong("GOMP_CPU_AFFINITY", "a list of cores such as 0-3 or 0,2", affinity))
    if (cores := usable_cores()) < len(here.cores()):
        for name in _THREADS:
            environment.setdefault(name, str(cores))


def _colours(environment: MutableMapping[str, str]) -> None:
    """Turn what is said of colours into NO_COLOR and FORCE_COLOR (no-color.org, force-color.org), which rich knows.

    CLICOLOR and CLICOLOR_FORCE are of bixense.com/clicolors. Typer's help has colours in a pipe where GITHUB_ACTIONS is
    set, unless it is told not to.
    """
    if here.NAME != "Windows" and not environment.get("TERM"):  # whose consoles have no name
        environment["TERM"] = "dumb"  # rich would send it codes
    if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        environment.setdefault("FORCE_COLOR", "1")
    elif environment.get("CLICOLOR") == "0":
        environment.setdefault("NO_COLOR", "1")
    if environment.get("GITHUB_ACTIONS") and not environment.get("FORCE_COLOR"):
        environment.setdefault("_TYPER_FORCE_DISABLE_TERMINAL", "1")


def _check_threads(name: str, value: str) -> None:
    """Refuse what is no number of threads. OpenMP's is a list, a number for each level of nesting."""
    if not all(_is_number(part.strip()) and int(part) <= MAX_THREADS for part in value.split(",")):
        raise BadInput(_wrong(name, f"a whole number from 1 to {MAX_THREADS}", value))


def _wrong(name: str, what: str, value: str) -> str:
    return f"the environment variable {name} must be {what}, found {value!r:.60}; set it right, or unset it"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) > 0
