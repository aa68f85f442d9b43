"""A real Triton server, in the environment of its own that the Makefile sets up for it."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.places import ROOT

PYTHON = Path(os.environ.get("RESNAS_SERVING_PYTHON", Path(sys.prefix) / "serving" / "bin" / "python"))
PERF_ANALYZER = PYTHON.parents[1] / "perf_analyzer"
needs_server = pytest.mark.skipif(not PYTHON.exists(), reason="make sets up the server's environment")
FREE = ("--http-port", "0", "--grpc-port", "0", "--metrics-port", "0")
_READY = re.compile(r"ready: HTTP (\S+), gRPC (\S+), metrics (\S+)(?: \(key of what is closed: (.+)\))?")


@dataclass(frozen=True)
class ReadyServer:
    """A server that is ready."""

    process: subprocess.Popen
    http: str
    grpc: str
    metrics: str
    key: str | None  # the file of it
    last_words: list[str]  # stdout and stderr from then on, when it has ended


def command(*arguments, **options):
    """`resnas ..` in the server's environment, whose variables `env` sets, or with None removes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"}
    environment |= options.pop("env", {})
    before, program = options.pop("before", ()), options.pop("python", PYTHON)
    return subprocess.Popen(
        [*map(str, before), str(program), "-m", "resnas_deploy", *map(str, arguments)],
        env={name: value for name, value in environment.items() if value is not None},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextmanager
def started_server(repository, *options, ports=FREE, stop=signal.SIGTERM, **how):
    """`resnas triton serve` from when it is ready until the block ends; `how` it is called: see `command`."""
    with command("triton", "serve", repository, *ports, *options, **how) as process:
        try:
            line = process.stdout.readline()
            found = _READY.match(line)
            assert found, line + process.stderr.read()
            running = ReadyServer(process, *found.groups(), last_words=[])
            yield running
            process.send_signal(stop)
            running.last_words.extend(process.communicate(timeout=300))
        finally:
            process.terminate()


def leftovers(process):
    """Processes and shared memory of the server that this process started."""
    prefix = f"resnas_{process.pid}_"
    shared = [path.name for path in Path("/dev/shm").glob(f"{prefix}*")]
    processes = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if prefix.encode() in line:
                processes.append(entry.name)
    return shared + processes


def folders(process, place=None):
    """Temporary folders of that server."""
    return list(Path(place or tempfile.gettempdir()).glob(f"resnas_{process.pid}_*"))


def refusal(*arguments, code=2, **how):
    """The one line that a command says, which leaves nothing."""
    with command(*arguments, **how) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert len(err.splitlines()) == 1, err
    assert leftovers(process) == folders(process) == []
    return err


class NotSettled(Exception):
    """perf_analyzer's own figures did not settle: the machine is too busy."""


def perf_analyzer(address, key, model, concurrency, folder):
    """The row of its table at a concurrency: NVIDIA's own load test, which came with tritonclient up to 2.51."""
    libraries = folder / "libraries"
    libraries.mkdir(exist_ok=True)
    (bundled,) = PYTHON.parents[1].glob("lib/python3.*/site-packages/nvidia_pytriton.libs")
    for pattern, name in (("libb64-*", "libb64.so.0d"), ("libcudart-*", "libcudart.so.12")):
        if not (libraries / name).exists():
            (libraries / name).symlink_to(next(bundled.glob(pattern)))
    table = folder / "table.csv"
    done = subprocess.run(
        [
            *(PERF_ANALYZER / "bin" / "perf_analyzer", "-m", model, "-i", "grpc", "-u", address, "-f", table),
            *(
                "-H",
                f"triton-grpc-protocol-resnas-key:{Path(key).read_text().strip()}",
            ),  # of what is closed, should it ask for that
            *("--concurrency-range", str(concurrency), "--measurement-interval", "1000", "--max-trials", "6"),
        ],
        env={**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{bundled}"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if "Failed to obtain stable measurement" in done.stderr + done.stdout:
        raise NotSettled
    assert done.returncode == 0, done.stderr + done.stdout[-1000:]
    (row,) = csv.DictReader(table.read_text().splitlines())
    return row
