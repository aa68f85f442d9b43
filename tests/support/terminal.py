"""Commands on a terminal of so many columns, which a pseudo-terminal is, and what they leave on its screen."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from support.processes import PATIENCE

fcntl = pytest.importorskip("fcntl")  # of Unix, as those below
pty = pytest.importorskip("pty")  # of Unix
termios = pytest.importorskip("termios")
_TERMINAL = {
    "COLUMNS",
    "LINES",
    "TERMINAL_WIDTH",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "RESNAS_QUIET",
}
_LOCALE = {"LC_ALL", "LC_CTYPE", "LANG"}
CODE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # a control sequence (ECMA-48, 5.4)


@dataclass(frozen=True)
class Seen:
    """What a command sent to the terminal, and its exit code."""

    code: int
    sent: bytes
    out: bytes  # of stdout, where that is a pipe

    @property
    def lines(self) -> list[str]:
        """The lines that stay on an endless screen, where codes clear lines and go up (ECMA-48, 8.3.22 and 8.3.41)."""
        lines, row, column = [""], 0, 0
        for code, text in re.findall(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n])|([^\x1b\r\n]+)", self.sent.decode()):
            if text:
                there = lines[row].ljust(column)
                lines[row] = there[:column] + text + there[column + len(text) :]
                column += len(text)
            elif code == "\n":
                row += 1
                lines += [""] * (row == len(lines))
            elif code == "\r":
                column = 0
            elif code.endswith("A"):
                row -= int(code[2:-1] or 1)
            elif code == "\x1b[2K":
                lines[row] = ""
        return lines


def on_a_terminal(*arguments, columns=60, cwd=None, pipe=False, script=("-m", "resnas_deploy"), **environment) -> Seen:
    """Run `resnas` on a terminal of so many columns, all of whose variables are as given; stdout may be a pipe."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with subprocess.Popen(
        [sys.executable, *script, *map(str, arguments)],
        stdin=slave,
        stdout=subprocess.PIPE if pipe else slave,
        stderr=slave,
        cwd=cwd,
        env=_environment(environment),
        start_new_session=True,
    ) as process:
        os.close(slave)
        sent = _all_of(master)
        out = process.stdout.read() if pipe else b""
    os.close(master)
    return Seen(process.returncode, sent, out)


def _environment(changes):
    """What a terminal of today has in its environment, with changes: None takes a variable away."""
    clean = {name: value for name, value in os.environ.items() if name not in _TERMINAL | _LOCALE}
    clean |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", **changes}
    return {name: value for name, value in clean.items() if value is not None}


def _all_of(master: int) -> bytes:
    """Read until nobody has the terminal open, which Linux tells by an error."""
    found = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            return found
        if not part:
            return found
        found += part


class Typed:
    """A command that runs on a terminal of its own, at which keys are pressed."""

    def __init__(self, process: subprocess.Popen, master: int) -> None:
        self.process = process
        self._master = master
        self._sent = b""

    def wait_for(self, text: str, patience: float = PATIENCE) -> None:
        """Read on until the terminal has shown a text."""
        deadline = time.monotonic() + patience
        while text.encode() not in self._sent:
            assert time.monotonic() < deadline, self._sent[-2000:].decode()
            assert self._read(1.0), f"it ended before {text!r}: {self._sent[-2000:].decode()}"

    def press_ctrl_c(self) -> None:
        """Send what a terminal makes of Ctrl-C: SIGINT to the command and to all that it started."""
        os.write(self._master, b"\x03")

    def end(self) -> Seen:
        """Wait for its end and return what it sent and its exit code."""
        while self._read(PATIENCE):
            pass
        return Seen(self.process.wait(PATIENCE), self._sent, b"")

    def _read(self, seconds: float) -> bool:
        """Read what there is; whether more may come."""
        if select.select([self._master], [], [], seconds)[0]:
            try:
                part = os.read(self._master, 65536)
            except OSError:  # nobody has the terminal open any more
                return False
            self._sent += part
            return bool(part)
        return True


@contextmanager
def typed(*arguments, cwd, columns=100, script=("-m", "resnas_deploy"), **environment) -> Iterator[Typed]:
    """Run `resnas` as somebody at a terminal does: Ctrl-C there is for its whole group of processes."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with subprocess.Popen(
        [sys.executable, *script, *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=cwd,
        env=_environment(environment),
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    ) as process:
        os.close(slave)
        try:
            yield Typed(process, master)
        finally:
            process.kill()
            os.close(master)


def _take_the_terminal() -> None:
    """In the new process: its stdin is the terminal that controls it, and no signal is ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
