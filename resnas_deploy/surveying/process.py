"""Runs a step in a process of its own, for so long and no longer, and says what became of it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from resnas_deploy.errors import BadInput, shortened
from resnas_deploy.files import records as record
from resnas_deploy.files.reading import parse_json
from resnas_deploy.files.workplace import scratch_errors
from resnas_deploy.processes import ending
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.surveying.results import DONE, FAILED, Handed, Outcome
from resnas_deploy.surveying.task import Task

GRACE_S = 6.0  # between SIGTERM and SIGKILL
_KILLED_S = 10.0  # until a killed process is gone
_POLL_S = 0.05
_MOST_BYTES = 32_000_000  # of what a step hands over
_HEAD, _TAIL = 200, 400  # lines of its log that are kept
_LINE = 2000  # bytes of one
_TELLING = ("error", "fatal", "exception", "abort", "terminate")  # words of a line that says why a process died


@dataclass(frozen=True)
class Ended:
    """What became of a step, the seconds that it took, and what it printed."""

    handed: Handed
    seconds: float
    log: str
    in_time: bool


def run_step(task: Task, name: str) -> Ended:
    """Run a step. Whatever it does, it has ended, with all that it started, when this returns or raises.

    Raise `StorageError` where there is no room for temporary files.
    """
    started = time.monotonic()
    with scratch_errors(), tempfile.TemporaryFile() as result:  # without a name: nothing is left of it
        with ending_with_us():
            process = subprocess.Popen(
                [sys.executable, "-m", "resnas_deploy.surveying.child", str(result.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(result.fileno(),),
                start_new_session=True,  # a group, to be ended as one; Ctrl-C is for the survey
            )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a step must be started with pipes")
        log = _Log(process.stdout)
        try:
            with suppress(BrokenPipeError), process.stdin:  # it died at once; its exit status tells
                process.stdin.write(json.dumps(record.to_json(task)).encode() + b"\n")
            in_time = _wait(process, task.seconds)
        finally:
            _end(process)
            log.close()
        result.seek(0)
        content = result.read(_MOST_BYTES + 1)
    seconds = time.monotonic() - started
    handed = _handed(process.returncode, in_time, task.seconds, content, log.text(), name)
    return Ended(handed, seconds, log.text(), in_time)


class _Log:
    """Reads what a process prints, and keeps the beginning and the end of it. A thread."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._head: list[str] = []
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._left_out, self._part, self._over, self._until = 0, b"", False, 0.0
        self._thread = threading.Thread(target=self._read, daemon=True, name="log")
        self._thread.start()

    def _read(self) -> None:
        readable = select.poll()
        readable.register(self._pipe, select.POLLIN)
        while not self._over or time.monotonic() < self._until:  # what outlived its process may print on
            if not readable.poll(_POLL_S * 1e3):
                if self._over:  # it holds the pipe open, and is not waited for
                    return
                continue
            if not (content := os.read(self._pipe.fileno(), 65_536)):
                return
            *lines, self._part = (self._part + content).split(b"\n")
            self._part = self._part[:_LINE]
            for line in lines:
                self._add(line)

    def _add(self, line: bytes) -> None:
        text = line[:_LINE].decode(errors="replace")
        if len(self._head) < _HEAD:
            self._head.append(text)
        else:
            self._left_out += len(self._tail) == _TAIL
            self._tail.append(text)

    def close(self) -> None:
        """Read what is there, of a process that has ended, and close the pipe."""
        self._until = time.monotonic() + GRACE_S
        self._over = True
        self._thread.join()
        self._pipe.close()
        if self._part:
            self._add(self._part)

    def text(self) -> str:
        """Return what was kept."""
        gap = [f".. {self._left_out} lines were left out .."] if self._left_out else []
        return "\n".join([*self._head, *gap, *self._tail])


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the end of a process, for so long. Return whether it came. An interrupt is raised at once."""
    until = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group: asked first, then killed."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            _wait(process, GRACE_S)
    finally:
        _signal(process, signal.SIGKILL)  # what is left of the group, too
        _wait(process, _KILLED_S)  # and no longer: what waits for a driver in the kernel cannot be killed


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _handed(code: int | None, in_time: bool, seconds: float, content: bytes, log: str, name: str) -> Handed:
    """Return what a process handed over, or what its end says."""
    if code is None:
        return Handed(FAILED, f"it took longer than its {seconds:.0f} s, and could not be killed")
    if not in_time:
        return Handed(FAILED, f"it took longer than its {seconds:.0f} s and was ended")
    if code < 0 or (code and not content):
        return Handed(FAILED, _death(code, log))
    try:
        if len(content) > _MOST_BYTES:
            raise BadInput("more than 32 MB")
        return record.from_json(Handed, parse_json(content, "its result"), "", defaults=True)
    except BadInput as error:
        return Handed(FAILED, shortened(f"the step {name} must hand over its result as JSON, found: {error}", 400))


def _death(code: int, log: str) -> str:
    how = f"exit status {code}"
    if code < 0:
        how = f"it was ended by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += " (by somebody, or by the kernel for want of memory)"
    elif code > 128 and code - 128 in {int(number) for number in ending.SIGNALS}:
        how = f"it was ended by {signal.Signals(code - 128).name}"
    lines = [line.strip() for line in log.splitlines() if any(word in line.lower() for word in _TELLING)]
    return shortened(f"{how}: {lines[0]}" if lines else how, 400)


def ended_well(handed: Handed) -> bool:
    """Whether a step found what it was to find."""
    return handed.status == DONE and handed.found not in (None, Outcome())
