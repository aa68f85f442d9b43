"""The reference of verification in a process of its own, which imports PyTorch while this one writes the graph.

That import is a third of a whole export, and Python lets no two threads of one process go on importing, folding and
emitting. So a process is started as early as somebody knows that it will be needed (`started`), and asked when the
weights are written and the graph was run: the two are never in memory together. Where it cannot do
its work, for whatever reason, whoever asks does it: an error then comes from where it can be told.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from resnas_deploy.processes.guardian import ending_with_us

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resnas_deploy.runners.base import Images

# The same package and the same PyTorch as here, whatever lies in the folder where somebody started this.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from resnas_deploy.exporting.reference_child import main; main()"
)
_MOST_LINE = 1000  # bytes of what is told of the logits
_waiting: list[ReferenceProcess] = []  # the one that was started ahead, where nobody has taken it yet


class ReferenceProcess:
    """A process that computes logits of one network, once."""

    def __init__(self) -> None:
        with ending_with_us():
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps([str(path) for path in sys.path])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # where it also says that Ctrl-C ended it, as it does this process
            )

    def logits(self, weights: Path, images: Images, threads: int) -> NDArray[np.float32] | None:
        """Return what the module of the weights in a file makes of images, `(B, classes)`; None where it has failed."""
        import numpy as np

        asked = {"weights": str(weights), "threads": threads, "dtype": str(images.dtype), "shape": images.shape}
        try:
            stdin, stdout = self._pipes()
            stdin.write(json.dumps(asked).encode() + b"\n")
            stdin.write(np.ascontiguousarray(images).reshape(-1).view(np.uint8).data)
            stdin.flush()
            count, classes = map(int, json.loads(stdout.readline(_MOST_LINE)))
            content = stdout.read(4 * count * classes)
            found = np.frombuffer(content, np.float32).reshape(count, classes)
        except (OSError, ValueError, TypeError):  # it died, or said something else
            return None
        finally:
            self.end()
        return found if count == len(images) else None

    def end(self) -> None:
        """End it and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                with suppress(OSError):  # what it has not read
                    pipe.close()

    def _pipes(self) -> tuple[BinaryIO, BinaryIO]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the process must be started with pipes")
        return stdin, stdout  # type: ignore[return-value]  # they are of bytes


@contextmanager
def ahead(*, wanted: bool) -> Iterator[None]:
    """Have a process started where it will be wanted, for whoever comes to need it in the block."""
    process = _start() if wanted else None
    if process is None:
        yield
        return
    _waiting.append(process)
    try:
        yield
    finally:
        if process in _waiting:
            _waiting.remove(process)
            process.end()


@contextmanager
def started() -> Iterator[ReferenceProcess | None]:
    """Have a process, the one that was started ahead or another; None where PyTorch is here, or none can be started."""
    process = _waiting.pop() if _waiting else _start()
    try:
        yield process
    finally:
        if process:
            process.end()


def _start() -> ReferenceProcess | None:
    if "torch" in sys.modules or not sys.executable:  # what it would import is here, or Python is embedded somewhere
        return None
    try:
        return ReferenceProcess()
    except OSError:  # no more processes
        return None
