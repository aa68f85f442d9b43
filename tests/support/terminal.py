"""Commands on a terminal of so many columns, which a pseudo-terminal is, and what they leave on its screen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

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
    clean = {name: value for name, value in os.environ.items() if name not in _TERMINAL | _LOCALE}
    clean |= {"TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with subprocess.Popen(
        [sys.executable, *script, *map(str, arguments)],
        stdin=slave,
        stdout=subprocess.PIPE if pipe else slave,
        stderr=slave,
        cwd=cwd,
        env={name: value for name, value in clean.items() if value is not None},
        start_new_session=True,
    ) as process:
        os.close(slave)
        sent = _all_of(master)
        out = process.stdout.read() if pipe else b""
    os.close(master)
    return Seen(process.returncode, sent, out)


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
