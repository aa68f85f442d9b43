"""A real Triton server on this machine: started, waited for, and stopped with everything that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import write_errors
from resnas_deploy.processes.elsewhere import require_linux
from resnas_deploy.progress import Progress, silent
from resnas_deploy.serving.repository.releases import SAFE_SINCE, is_safe
from resnas_deploy.serving.server import launcher
from resnas_deploy.serving.server.access import OperatorKey, restrictions
from resnas_deploy.serving.server.addresses import Address, Ports, asked_at, bracketed, is_loopback, loopback
from resnas_deploy.serving.server.hidden_arguments import replace_arguments
from resnas_deploy.serving.server.installed import InstalledServer, find_server
from resnas_deploy.serving.server.log import Log, open_log
from resnas_deploy.serving.server.ownership import Owned, owning
from resnas_deploy.serving.server.plain_folder import choose_folder, is_plain, link
from resnas_deploy.system import here

_SHARED = Path("/dev/shm")
_STOPPING_S, _POLL_S = 10, 0.1
_CACHE_BYTES = 64 * 2**20
_ENDING = here.ENDING


@dataclass(frozen=True)
class ServerSettings:
    """How to start a server."""

    ports: Ports = field(default_factory=Ports)
    poll_s: int = 0  # how often it looks for new versions; 0: never
    ready_s: float = 120  # how long it may take to load the models
    host: str = field(default_factory=loopback)
    risk_known: bool = False  # of a host that others reach, and a release with known holes
    key: OperatorKey | None = None  # of the closed protocols; one is made where none is given


@dataclass(eq=False)
class Server:
    """A server that is ready, until `stop`, the end of a `with` block, or that of this process."""

    settings: ServerSettings
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Log = field(repr=False)
    key_file: Path | None  # None: the protocols are closed to everybody
    _end: Callable[[], object] | None = field(default=None, repr=False)

    def wait(self) -> None:
        """Wait while it runs, until an interrupt. Raise `ServerFailed` where it ends by itself."""
        self.process.wait()
        raise self.log.failure("the server ended by itself")

    def stop(self) -> None:
        """End it, with everything that it started and wrote but its log; again it does nothing."""
        if self._end:
            self._end()

    @property
    def url(self) -> str:
        """Where it is asked, as `triton.check()` and `triton.load()` take it: over gRPC."""
        return f"grpc://{self.grpc}"

    def address(self, protocol: str) -> Address:
        """Return where it is asked over `grpc` or `http`."""
        return Address.parse(f"{protocol}://{self.grpc if protocol == 'grpc' else self.http}")

    @property
    def http(self) -> str:
        """Host and port of HTTP, as tritonclient takes them."""
        return self._at(self.settings.ports.http)

    @property
    def grpc(self) -> str:
        """Host and port of gRPC, as tritonclient takes them."""
        return self._at(self.settings.ports.grpc)

    @property
    def metrics(self) -> str:
        """The address of its Prometheus metrics."""
        return f"http://{self._at(self.settings.ports.metrics)}/metrics"

    def _at(self, port: int) -> str:
        return f"{bracketed(asked_at(self.settings.host))}:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def start_server(
    repository: Path, settings: ServerSettings, log: Path | None = None, progress: Progress = silent
) -> Server:
    """Serve a model repository until the server is stopped, or is referred to no more.

    What the server says goes into the file `log`, or a temporary one. The server, the processes that it starts and
    their shared memory are gone afterwards, however this process ends; where it is killed, the server ends by itself,
    and what is left if that is killed too, the next one removes.

    Raise `NotAvailable` where no server is installed, and `BadInput` where it cannot be started as it is wanted, where
    a port is taken or a model does not load.
    """
    require_linux("a Triton server")
    opened = _running(repository, settings, log, progress)
    server = opened.__enter__()
    server._end = weakref.finalize(server, opened.__exit__, None, None, None)  # whose frame knows nothing of `server`
    return server


@contextmanager
def _running(repository: Path, settings: ServerSettings, log: Path | None, progress: Progress) -> Iterator[Server]:
    _check_repository(repository)
    settings.ports.check(settings.host)
    parent = choose_folder()
    with _undisturbed_ending() as stack:
        owned = stack.enter_context(owning([parent, *([_SHARED] if _SHARED.is_dir() else [])]))
        folder = parent / owned.name
        with write_errors(folder):
            folder.mkdir(mode=0o700)
            installed = find_server(folder)
            models = link(folder, "models", repository.resolve())
        check_exposure(settings, installed.release)
        output = stack.enter_context(open_log(log, folder, {str(models): str(repository)}))
        key = settings.key or OperatorKey.new()
        with _deferred():  # or there would be a process that nobody knows of
            process, has_key = _start(installed, models, settings, key, owned, output.descriptor)
            stack.callback(_stop, process)
        progress("loading the models")
        _wait(process, settings, output)
        yield Server(settings, process, output, _keep(key, folder) if has_key else None)


def _check_repository(repository: Path) -> None:
    try:
        names = sorted(entry.name for entry in os.scandir(repository) if entry.is_dir())
    except OSError as error:
        raise BadInput(
            f"a model repository must be a folder, found none at {repository} ({error.strerror}); "
            "make one by `triton.export()`"
        ) from None
    for name in names:
        if not is_plain(name):
            raise BadInput(
                f"a model must have a name of letters, digits, dots, dashes and underscores, found {name!r:.80} in "
                f"{repository}; export it under another `name`"
            )


def check_exposure(settings: ServerSettings, release: str) -> None:
    """Raise `BadInput` where others would reach a server of a release with known holes, and nobody has said so."""
    if not (is_loopback(settings.host) or is_safe(release) or settings.risk_known):
        raise BadInput(
            f"a server that others reach must be Triton {SAFE_SINCE} or newer, found {release or 'another'}, in which "
            f"anybody who reaches it may run programs, and the address {settings.host}; leave `address` out, "
            "serve with NVIDIA's image (deploy/Dockerfile), or give `risk_known`"
        )


def _start(
    installed: InstalledServer, models: Path, settings: ServerSettings, key: OperatorKey, owned: Owned, log: int
) -> tuple[subprocess.Popen[bytes], bool]:
    """Return the server's process, and whether the closed protocols are open to whoever has the key."""
    host = settings.host
    control = ["--model-control-mode=poll", f"--repository-poll-secs={settings.poll_s}"] if settings.poll_s else []
    closed, opened = restrictions(None), restrictions(key)
    command = [
        str(installed.program),
        f"--model-repository={models}",
        "--disable-auto-complete-config",  # what a configuration says is checked, not guessed
        f"--exit-timeout-secs={_STOPPING_S}",
        f"--backend-config=python,shm-region-prefix-name={owned.name}_",
        f"--cache-config=local,size={_CACHE_BYTES}",
        f"--http-address={f'ipv6:{bracketed(host)}' if ':' in host else host}",
        f"--grpc-address={bracketed(host)}",
        f"--metrics-address={f'ipv6:{bracketed(host)}' if ':' in host else host}",
        *(f"--{name}-port={port}" for name, port in vars(settings.ports).items()),
        *closed,
        *installed.arguments,
        *control,
    ]
    # Not among the arguments, which all users of this machine may read.
    secrets = {f"RESNAS_TRITON_OPTION_{number}": option for number, option in enumerate(opened)}
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as notice:
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", launcher.__file__, str(os.getpid()), str(writing), *command],
                env={**installed.environment, **secrets},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(writing, *owned.descriptors),
                start_new_session=True,  # Ctrl-C is for this process, which stops it; its children are one group
            )
        finally:
            os.close(writing)
        is_stopped = notice.read(1) == b"1"
    return process, is_stopped and replace_arguments(process.pid, dict(zip(closed, secrets, strict=True)))


def _keep(key: OperatorKey, folder: Path) -> Path:
    path = folder / "key"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key.text}\n")
    return path


def _wait(process: subprocess.Popen[bytes], settings: ServerSettings, log: Log) -> None:
    """Wait until every model is ready. Raise `ServerFailed` with the server's own words where that does not come."""
    until = time.monotonic() + settings.ready_s
    url = f"http://{bracketed(asked_at(settings.host))}:{settings.ports.http}/v2/health/ready"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy knows this machine's loopback
    while time.monotonic() < until:
        if process.poll() is not None:
            raise log.failure("the server did not start")
        with suppress(OSError), direct.open(url, timeout=1) as answer:
            if answer.status == 200:
                return
        time.sleep(_POLL_S)
    raise log.failure(f"the models must be ready within {settings.ready_s:g} s, found some that are not")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server, gently first, and whatever it has started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOPPING_S + 5)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _deferred() -> Iterator[None]:
    """Let requests to end come after the block, whose handlers raise exceptions anywhere."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _ENDING:
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda given, _: came.append(given))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _undisturbed_ending() -> Iterator[ExitStack]:
    """Let what is put on this stack end without a second Ctrl-C, or another request to end, keeping it from that."""
    before = {}
    is_main = threading.current_thread() is threading.main_thread()  # which alone is interrupted
    stack = ExitStack()
    try:
        yield stack
    finally:
        if is_main:
            before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
        try:
            stack.close()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
