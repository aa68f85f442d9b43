"""Commands in processes of their own that a signal meets at a stage which is seen, and what they leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from support.processes import PATIENCE, below, wait_for

CACHES = (".ses", "torchinductor_")  # ONNX Runtime's, and that of PyTorch's compiler
ENDING = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM", signal.SIGHUP: "ended by SIGHUP"}


@dataclass(frozen=True)
class Running:
    """A command that runs, in a folder of its own."""

    process: subprocess.Popen
    folder: Path  # where it works
    temporary: Path  # its TMPDIR

    def wait_for(self, stage):
        """What `stage` returns once that is true, asked with this."""
        return wait_for(lambda: stage(self), lambda: self.process.poll() is None)

    def descendants(self):
        """The numbers of all processes below it."""
        return below(self.process.pid)

    def end(self, number):
        """Send it the signal; returns exit code, stdout and the lines of stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err.splitlines()

    def left(self):
        """What lies in its folders that a user did not put there, but for caches that libraries keep."""
        hidden = [path for path in self.folder.rglob("*") if path.name.endswith((".partial", ".new"))]
        temporary = [path for path in self.temporary.iterdir() if not path.name.startswith(CACHES)]
        return sorted(map(str, [*hidden, *temporary]))


def _usual_signals(before):
    """In the new process, before it runs: none of the signals is ignored, as under `nohup` or in the background."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    if before:
        before()


@contextmanager
def running(folder, *arguments, script=("-m", "resnas_deploy"), before=None, **environment):
    """`resnas` with its output in pipes, in `folder`, with a TMPDIR that is beside it."""
    temporary = folder.with_name(f"{folder.name}-tmp")
    for path in (folder, temporary):
        path.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, *script, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "TMPDIR": str(temporary), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(_usual_signals, before),
    ) as process:
        try:
            yield Running(process, folder, temporary)
        finally:
            process.kill()


def imported(name):
    """A stage: a library with that in its path is in the process's memory."""

    def seen(command):
        try:
            return name in Path(f"/proc/{command.process.pid}/maps").read_text()
        except OSError:
            return False

    return seen


def appears(pattern, within="folder"):
    """A stage: there is something of that pattern in the folder where it works, or its TMPDIR (`temporary`)."""
    return lambda command: list(getattr(command, within).glob(pattern))
