"""The log of a server, and what it says about a failure."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import write_errors

_TELLING = re.compile(r"^(?:E[0-9]{4} [^]]*\] |error: )(.*)")  # lines that say why
_AT_ALL = re.compile(
    r"^(?![IWE][0-9]{4} |[+|]|Error: Failed to initialize NVML|ERROR: ld.so: )\s*(\S.*)"
)  # of other programs
# What it says on every machine without a GPU, and what only says that something was said before.
_TELLING_NOTHING = (
    "CudaDriverHelper has not been initialized",
    "unable to create stream",
    "failed to load all models",
)
_MOST = 4 * 2**20  # bytes of a log that are looked through


class ServerFailed(BadInput):
    """A server did not start, or ended; the message names its log."""


@dataclass(frozen=True)
class Log:
    """A file that a server writes to."""

    path: Path
    descriptor: int
    start: int  # where what this server wrote begins
    is_temporary: bool
    links: Mapping[str, str] = field(default_factory=dict)  # paths that the server knows, and what they stand for

    def failure(self, what: str) -> ServerFailed:
        """Return the error that says what happened, why by the server's own words, and where there is more."""
        why = self._why()
        return ServerFailed(f"{what}: {why} (its log: {self._kept() if self.is_temporary else self.path})")

    def _why(self) -> str:
        """Return the first line that says what is wrong: those after it say what came of that."""
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            return "its log says why"
        with self.path.open("rb") as file:
            file.seek(self.start)
            lines = file.read(_MOST).decode(errors="replace").splitlines()
        told = [match[1] for line in lines if (match := _TELLING.match(line))]
        useful = [line for line in told if not any(text in line for text in _TELLING_NOTHING)]
        useful = useful or [match[1] for line in lines if (match := _AT_ALL.match(line))]
        text = " ".join(useful[0].split()) if useful else "it said nothing"
        for plain, meant in self.links.items():
            text = text.replace(plain, meant)
        return text if len(text) <= 300 else f"{text[:300]} .."

    def _kept(self) -> Path:
        """Return a copy that stays: the log itself goes with the server's folder."""
        with suppress(OSError):
            descriptor, name = tempfile.mkstemp(prefix="resnas-triton-", suffix=".log")
            with os.fdopen(descriptor, "wb") as copy, self.path.open("rb") as file:
                shutil.copyfileobj(file, copy)
            return Path(name)
        return self.path


@contextmanager
def open_log(path: Path | None, folder: Path, links: Mapping[str, str]) -> Iterator[Log]:
    """Open a file to append to; without a path one in the server's folder, of which a failure keeps a copy.

    Raise `BadInput` where it cannot be written.
    """
    kept = path or folder / "server.log"
    with write_errors(kept):
        descriptor = os.open(kept, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666 if path else 0o600)
    try:
        start = os.fstat(descriptor).st_size
        yield Log(kept, descriptor, start, path is None, links)
    finally:
        os.close(descriptor)
