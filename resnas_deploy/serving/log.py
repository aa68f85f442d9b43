"""The log of a server, and what it says about a failure."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.errors import BadInput

_TELLING = re.compile(r"^(?:E[0-9]{4} [^]]*\] |error: )(.*)")  # lines that say why
_TELLING_NOTHING = ("failed to load all models", "CudaDriverHelper has not been initialized", "unable to create stream")


class ServerFailed(BadInput):
    """A server did not start, or ended; the message names its log."""


@dataclass(frozen=True)
class Log:
    """A file that a server writes to."""

    path: Path
    descriptor: int
    start: int  # where what this server wrote begins

    def failure(self, what: str) -> ServerFailed:
        """The error that says what happened, why by the server's own words, and where there is more."""
        return ServerFailed(f"{what}: {self._why()} (its log: {self.path})")

    def _why(self) -> str:
        """The last line that says what is wrong."""
        lines = self.path.read_bytes()[self.start :].decode(errors="replace").splitlines()
        told = [match[1] for line in lines if (match := _TELLING.match(line))]
        # The last lines say that something failed, the ones before them what.
        useful = [line for line in told if not any(text in line for text in _TELLING_NOTHING)] or told
        text = " ".join(useful[-1].split()) if useful else "it said nothing"
        return text if len(text) <= 300 else f"{text[:300]} .."


@contextmanager
def open_log(path: Path | None) -> Iterator[Log]:
    """A file, appended to; without a path a temporary one, which stays only after a `ServerFailed`, which names it."""
    kept = path
    if kept is None:
        descriptor, name = tempfile.mkstemp(prefix="resnas-triton-", suffix=".log")
        os.close(descriptor)
        kept = Path(name)
    has_failed = False
    try:
        with kept.open("ab") as output:
            yield Log(kept, output.fileno(), output.tell())
    except ServerFailed:
        has_failed = True
        raise
    finally:
        if path is None and not has_failed:
            kept.unlink()
