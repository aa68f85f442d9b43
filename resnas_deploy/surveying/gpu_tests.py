"""The step that runs the tests of a checkout that need a GPU, by pytest."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from resnas_deploy.errors import BadInput, PackageMissing, shortened
from resnas_deploy.progress import Progress
from resnas_deploy.surveying.results import Outcome, TestRun
from resnas_deploy.surveying.task import Task

_SPARE_S = 12.0  # of the step's time, in which pytest that was interrupted says what it has
_COUNT = re.compile(r"(\d+) passed")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+)")
_NOTHING = 5  # the exit code of pytest that collected no test
_MOST, _LINE = 50, 300  # failures, and characters of one


def run(task: Task, progress: Progress) -> Outcome:
    """Run them. Where time runs out, pytest is interrupted and says what it has by then."""
    if find_spec("pytest") is None:
        raise PackageMissing("the tests of a checkout need the package pytest", "pip install pytest")
    checkout = Path(task.text("checkout"))
    progress(f"pytest -m gpu in {checkout}")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    paths = [str(checkout), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "tests"],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        encoding="utf-8",
    ) as process:
        out, cut = _output(process, max(task.seconds - _SPARE_S, task.seconds / 2))
    sys.stdout.write(f"{out[-100_000:]}\n")  # for the step's log
    sys.stdout.flush()
    return Outcome(tests=read(out, process.returncode, cut))


def _output(process: subprocess.Popen[str], seconds: float) -> tuple[str, bool]:
    """Return what it printed, and whether it had to be interrupted."""
    started = time.monotonic()
    try:
        return process.communicate(timeout=seconds)[0], False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        return process.communicate(timeout=max(1.0, _SPARE_S / 2))[0], True
    process.kill()
    out = process.communicate()[0]
    return f"{out}\nkilled after {time.monotonic() - started:.0f} s", True


def read(out: str, code: int, cut: bool) -> TestRun:
    """Return what pytest's output says. Raise `BadInput` where it could not even begin."""
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    failed = tuple(shortened(found[1], _LINE) for line in lines if (found := _FAILED.match(line)))
    summary = lines[-1].strip("= ") if lines else "nothing was printed"
    passed = next((int(found[1]) for line in reversed(lines) if (found := _COUNT.search(line))), 0)
    if code not in (0, 1, 2, _NOTHING) and not failed and not cut:
        raise BadInput(f"pytest must run, found exit code {code}: {summary}")
    return TestRun(shortened(summary, _LINE), passed, failed[:_MOST], cut)
