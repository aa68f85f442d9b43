"""The process of `reference_process`: imports PyTorch, reads one request on stdin, and writes the logits on stdout."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from resnas_deploy.processes.aside import uncollected


def main() -> None:
    """Do it, and end the process at once: what it has in memory goes away as a whole."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with uncollected():
        import numpy as np

        from resnas_deploy.exporting.reference import on_torch, reference_logits
        from resnas_deploy.weights.checkpoint import load
    line = sys.stdin.buffer.readline()
    if not line:  # nobody needs it any more
        os._exit(0)
    asked = json.loads(line)
    dtype, shape = np.dtype(asked["dtype"]), tuple(asked["shape"])
    content = sys.stdin.buffer.read(dtype.itemsize * int(np.prod(shape)))
    images = np.frombuffer(bytearray(content), dtype).reshape(shape)
    with on_torch(asked["threads"]):
        logits = reference_logits(load(Path(asked["weights"])), images)
    answer.write(json.dumps(logits.shape).encode() + b"\n")
    answer.write(np.ascontiguousarray(logits, np.float32).tobytes())
    answer.flush()
    os._exit(0)
