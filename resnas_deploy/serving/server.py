"""A real Triton server on this machine: started, waited for, and stopped with everything that it started."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.serving.installed import Installed, find_server
from resnas_deploy.serving.log import Log, open_log

LOOPBACK = "127.0.0.1"
_SHARED = Path("/dev/shm")
# Of shared memory and temporary folders; then come the number of the process that started the server, and a random one.
_PREFIX = "resnas_"
_OWNER = re.compile(rf"{_PREFIX}([0-9]+)_")
_STOPPING_S, _POLL_S = 10, 0.1
_CACHE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Ports:
    """Where the server listens, on loopback."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    @staticmethod
    def free() -> Ports:
        """Three that nobody listens on."""
        with socket.socket() as a, socket.socket() as b, socket.socket() as c:
            for one in (a, b, c):
                one.bind((LOOPBACK, 0))
            return Ports(*(one.getsockname()[1] for one in (a, b, c)))

    def check(self) -> None:
        """Raise `BadInput` where one is taken."""
        for name, port in (("HTTP", self.http), ("gRPC", self.grpc), ("metrics", self.metrics)):
            with socket.socket() as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    one.bind((LOOPBACK, port))
                except OSError as error:
                    raise BadInput(
                        f"the {name} port must be free, found {port} taken ({error.strerror}); choose another one"
                    ) from None


@dataclass(frozen=True)
class Settings:
    """How to start a server."""

    ports: Ports = Ports()
    poll_s: int = 0  # how often it looks for new versions; 0: never
    ready_s: float = 120  # how long it may take to load the models


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    ports: Ports
    log: Log

    def wait(self) -> None:
        """Wait while it runs, until an interrupt. Raises `ServerFailed` where it ends by itself."""
        self.process.wait()
        raise self.log.failure("the server ended by itself")

    @property
    def http(self) -> str:
        """Host and port, as tritonclient takes them."""
        return f"{LOOPBACK}:{self.ports.http}"

    @property
    def grpc(self) -> str:
        """The same for gRPC."""
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def metrics(self) -> str:
        """The address of its Prometheus metrics."""
        return f"http://{LOOPBACK}:{self.ports.metrics}/metrics"


@contextmanager
def serving(repository: Path, settings: Settings, log: Path | None, report: Callable[[str], None]) -> Iterator[Server]:
    """Serve a model repository until the block ends. What the server says goes into the file `log`, or a temporary one.

    The server, the processes that it starts and their shared memory are gone afterwards, however the block ends; where
    this process is killed, the server ends by itself, and what is left if that is killed too, the next one removes.
    Raises `NotAvailable` where no server is installed, and `BadInput` where a port is taken or a model does not load.
    """
    if not repository.is_dir():
        raise BadInput(
            f"a model repository must be a folder, found none at {repository}; make one: resnas triton export"
        )
    settings.ports.check()
    remove_abandoned()
    prefix = f"{_PREFIX}{os.getpid()}_{secrets.token_hex(4)}_"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder, open_log(log) as output:
        installed = find_server(Path(folder))
        process = _start(installed, repository, settings, prefix, output.descriptor)
        try:
            report("loading the models")
            _wait(process, settings, output)
            yield Server(process, settings.ports, output)
        finally:
            _stop(process, prefix)


def remove_abandoned() -> None:
    """Remove what servers left whose starting process is gone, both having been killed."""
    for prefix in {match[0] for path in _shared() if (match := _abandoned(path))}:
        _remove(prefix)
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if _abandoned(path):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(path: Path) -> re.Match[str] | None:
    """The owner's part of a name, where there is no such process."""
    match = _OWNER.match(path.name)
    return None if match is None or Path(f"/proc/{match[1]}").exists() else match


def _start(
    installed: Installed, repository: Path, settings: Settings, prefix: str, log: int
) -> subprocess.Popen[bytes]:
    ports = settings.ports
    control = ["--model-control-mode=poll", f"--repository-poll-secs={settings.poll_s}"] if settings.poll_s else []
    command = [
        str(installed.program),
        f"--model-repository={repository.resolve()}",
        "--disable-auto-complete-config",  # what a configuration says is checked, not guessed
        f"--exit-timeout-secs={_STOPPING_S}",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        f"--cache-config=local,size={_CACHE_BYTES}",
        *(f"--{name}-address={LOOPBACK}" for name in ("http", "grpc", "metrics")),
        *(f"--{name}-port={port}" for name, port in vars(ports).items()),
        *installed.arguments,
        *control,
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "resnas_deploy.serving.launch", str(os.getpid()), *command],
        env=dict(installed.environment),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for this process, which stops it; its children are one group
    )


def _wait(process: subprocess.Popen[bytes], settings: Settings, log: Log) -> None:
    """Wait until every model is ready. Raises `ServerFailed` with the server's own words where that does not come."""
    until = time.monotonic() + settings.ready_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise log.failure("the server did not start")
        with suppress(OSError):
            url = f"http://{LOOPBACK}:{settings.ports.http}/v2/health/ready"
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        time.sleep(_POLL_S)
    raise log.failure(f"the models must be ready within {settings.ready_s:g} s, found some that are not")


def _stop(process: subprocess.Popen[bytes], prefix: str) -> None:
    """End the server, gently first, and whatever it has left."""
    with _uninterrupted():
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOPPING_S + 5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _remove(prefix)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A second Ctrl-C must not keep anything from being removed."""
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _remove(prefix: str) -> None:
    """End the processes that share memory under that prefix, and remove it."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if b"triton_python_backend_stub" in command and prefix.encode() in command:
                    os.kill(int(entry.name), signal.SIGKILL)
    for path in _shared():
        if path.name.startswith(prefix):
            path.unlink(missing_ok=True)


def _shared() -> list[Path]:
    return list(_SHARED.iterdir()) if _SHARED.is_dir() else []
