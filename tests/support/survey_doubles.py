"""Steps of a survey that go wrong, each in its own way, and some that go well. They run in processes of their own.

Run as a program it is `resnas` with these as the steps of `resnas gpu-report`.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from resnas_deploy.errors import NotAvailable
from resnas_deploy.surveying.results import Outcome, TrainingTimes
from resnas_deploy.surveying.steps import PlannedStep

RUNS, CHILDREN, GO = "runs.txt", "children.txt", "go"  # in the folder in the environment, see `note`
WHERE = "RESNAS_TEST_FOLDER"


def step(name, seconds=60.0, share=0.0, **parameters):
    """The step that runs the function of that name, or of what stands before a hyphen in it."""
    run = f"support.survey_doubles:{name.partition('-')[0]}"
    return PlannedStep(name, f"the double {name}", run, seconds, share, "", parameters)


STEPS = (
    step("good-first"),
    step("abort"),
    step("hang", seconds=2.0),
    step("memory"),
    step("garbage"),
    step("nothing"),
    step("raises"),
    step("missing"),
    step("killed"),
    step("good-last"),
)


def note(name, text):
    """Append a line to a file that the test reads."""
    with (Path(os.environ[WHERE]) / name).open("a") as file:
        file.write(f"{text}\n")


def good(task, progress):
    """A step that goes well. How often it ran is noted."""
    del progress
    note(RUNS, f"good {task.seconds:.0f}")
    return Outcome(training=TrainingTimes("sliced", "mini", 4, 2, "fp32", (0.25, 0.5, 1.0), 2.0, None))


def waits(task, progress):
    """A step that goes well once the test says so."""
    note(RUNS, f"waits {os.getpid()}")
    while not (Path(os.environ[WHERE]) / GO).exists():
        time.sleep(0.01)
    return good(task, progress)


def abort(task, progress):
    """A library that crashes."""
    del task, progress
    sys.stderr.write("about to crash\n")
    os.abort()


def hang(task, progress):
    """A driver that never comes back, ignores SIGTERM, and has started processes in the group and out of it."""
    del task, progress
    for session in (False, True):
        child = subprocess.Popen(["sleep", "1000"], start_new_session=session)
        note(CHILDREN, child.pid)
    note(CHILDREN, os.getpid())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def memory(task, progress):
    """A network that does not fit: real memory, really refused."""
    del task, progress
    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
    kept = []
    while True:
        kept.append(bytearray(2**28))


def garbage(task, progress):
    """A library that prints without end, and a process that hands over no result."""
    del task, progress
    for number in range(5000):
        sys.stdout.buffer.write(b"\xff\x00garbage %d\n" % number)
    sys.stdout.buffer.write(b"x" * 100_000)
    sys.stdout.flush()
    os.write(int(sys.argv[1]), b'{"status": "done", "found": [[[')
    os._exit(0)


def nothing(task, progress):
    """A step that hands over a result of no kind."""
    del task, progress
    return Outcome()


def raises(task, progress):
    """A library's error of several lines."""
    del task, progress
    raise RuntimeError("CUDA error: an illegal memory access was encountered\nFor debugging consider ..")


def missing(task, progress):
    """Something that is not here."""
    del task, progress
    raise NotAvailable("the package tensorrt is not installed", "pip install tensorrt")


def killed(task, progress):
    """The kernel, for want of memory."""
    del task, progress
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    """Run `resnas` with other steps: those named in the environment, or all."""
    from resnas_deploy.surveying import survey

    names = os.environ.get("RESNAS_TEST_STEPS")
    steps = [step(name) for name in names.split()] if names else list(STEPS)
    survey.steps_of = lambda *_: steps
    from resnas_deploy.cli.app import run
    from resnas_deploy.processes import ending

    ending.leave(ending.run_command(run, whole_process=True))


if __name__ == "__main__":
    main()
