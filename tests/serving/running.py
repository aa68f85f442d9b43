"""A real Triton server, in the environment of its own that the Makefile sets up for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("RESNAS_SERVING_PYTHON", Path(sys.prefix) / "serving" / "bin" / "python"))
needs_server = pytest.mark.skipif(not PYTHON.exists(), reason="make sets up the server's environment")
FREE = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
_READY = re.compile(r"ready: HTTP (\S+), gRPC (\S+), metrics (\S+)")


@dataclass(frozen=True)
class Running:
    """A server that is ready."""

    process: subprocess.Popen
    http: str
    grpc: str
    metrics: str
    last_words: list[str]  # stdout and stderr from then on, when it has ended


def command(*arguments, **options):
    """`resnas ..` in the server's environment."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    environment |= options.pop("env", {})
    return subprocess.Popen(
        [str(PYTHON), "-m", "resnas_deploy", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextmanager
def served(repository, *options, ports=FREE, stop=signal.SIGTERM):
    """`resnas triton serve` from when it is ready until the block ends."""
    with command("triton", "serve", repository, *ports, *options) as process:
        try:
            line = process.stdout.readline()
            found = _READY.match(line)
            assert found, line + process.stderr.read()
            running = Running(process, *found.groups(), last_words=[])
            yield running
            process.send_signal(stop)
            running.last_words.extend(process.communicate(timeout=40))
        finally:
            process.terminate()


def leftovers():
    """Processes and shared memory of servers that resnas started."""
    shared = [path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("resnas_")]
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"shm-region-prefix-name=resnas_" in line or (
                b"triton_python_backend_stub" in line and b"resnas_" in line
            ):
                processes.append(entry.name)
    return shared + processes
