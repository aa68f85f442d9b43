"""A step's process: reads its task on stdin, runs it, and writes what came of it to the file that its argument numbers.

What a step prints goes to its log. Whatever becomes of this process, the survey goes on.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import traceback
from importlib import import_module

from resnas_deploy.errors import NotAvailable, ResnasError, first_line
from resnas_deploy.files import records as record
from resnas_deploy.processes import ending
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.processes.quiet import turn_off
from resnas_deploy.surveying.results import DONE, FAILED, MISSING
from resnas_deploy.surveying.task import Task

_MOST = 400  # characters of an error's line


def main() -> None:
    """Run the step and end the process. A signal ends it with its temporary files cleaned up."""
    faulthandler.enable()  # a crash says where
    ending.leave(ending.run_command(_run, whole_process=True))


def _run() -> int:
    turn_off(os.environ, ours=True)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    task = record.from_json(Task, json.loads(sys.stdin.buffer.readline()), "a task")
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as file:
        json.dump(_came_of(task), file)
    return 0


def _came_of(task: Task) -> dict[str, object]:
    """Return what the step found, or why it did not."""
    try:
        module, _, name = task.run.partition(":")
        with ending_with_us():
            found = getattr(import_module(module), name)(task, _say)
    except Exception as error:  # noqa: BLE001  of whatever library the step came to
        ending.raise_if_ended()
        traceback.print_exc()
        missing = isinstance(error, NotAvailable)
        remedy = error.install if isinstance(error, NotAvailable) else ""
        return {"status": MISSING if missing else FAILED, "error": _line(error), "remedy": remedy or None}
    return {"status": DONE, "found": record.to_json(found)}


def _line(error: Exception) -> str:
    """Return the first line of an error; of a class that is not ours its name too."""
    if isinstance(error, MemoryError):
        return "this needs more memory than there is"
    text = first_line(error, _MOST)
    if isinstance(error, ResnasError):
        return text.removesuffix(f"; install it with: {error.install}") if isinstance(error, NotAvailable) else text
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
