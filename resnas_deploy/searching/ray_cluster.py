"""Ray's cluster: another one that is named, or one of this machine's for this process alone."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from resnas_deploy.errors import BadInput, ResnasError, first_line
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.processes import ending
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners.base import usable_cores

ADDRESS = "RAY_ADDRESS"  # where Ray's own programs look for the address of a cluster
_LOCAL = "local"  # what Ray calls a cluster that it starts
_HOME = "HOME"
_LEAST_STORE, _MARGIN = 2**28, 1.25  # bytes of a store for what else is sent, and for what is lost between objects
_BOOTSTRAP = "ray_bootstrap_config.yaml"


@contextmanager
def connected(address: str, stored: int = 0) -> Iterator[Any]:
    """Yield Ray, connected to the cluster of that address; without one to `RAY_ADDRESS`, else to one started here.

    The latter has a store for so many bytes of ours. A cluster that somebody else has running on this machine is not
    taken: it would be given our pickled functions. Raise `BadInput`.
    """
    ray = import_quietly("ray")
    address = address or os.environ.get(ADDRESS, "").strip() or _LOCAL
    with ending_with_us(), _own_handler():
        try:
            if address == _LOCAL:
                with _other_home():
                    store = _LEAST_STORE + int(_MARGIN * stored)
                    _init(ray, _LOCAL, num_cpus=usable_cores(), object_store_memory=store)
            else:
                _init(ray, address)
        except Exception as error:  # Ray's own, the network's and the operating system's
            raise BadInput(
                f"Ray must start, or be reachable at {address!r:.60} (`workers` or {ADDRESS}), "
                f"found: {first_line(error)}"
            ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


@contextmanager
def in_a_line(told: Callable[[str], str]) -> Iterator[None]:
    """Turn what work in a cluster met into one line: our own errors as they were, others as `told` says their last one.

    Raise `BadInput`.
    """
    try:
        yield
    except KeyboardInterrupt:  # an interrupt, as Ray's C code hands it on
        ending.raise_if_ended()
        raise
    except import_quietly("ray.exceptions").RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ResnasError):
            raise cause from None
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BadInput(told(" ".join(lines[-1].split())[:200])) from error


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep Ray from handling SIGTERM in its own way, which is to end at once."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with suppress(ValueError, TypeError):  # not the main thread, where Ray leaves it alone too; or C's handler
            signal.signal(signal.SIGTERM, handler)


def _init(ray: Any, address: str, **options: Any) -> None:
    ray.init(address, include_dashboard=False, log_to_driver=False, configure_logging=False, **options)


@contextmanager
def _other_home() -> Iterator[None]:
    """Within the block, HOME is another folder, in which Ray finds that nobody's cloud has started it.

    Without that it asks the addresses at which clouds tell machines about themselves, statistics or none; its key to
    the cluster lies there too.
    """
    before = os.environ.get(_HOME)
    os.environ[_HOME] = str(_scratch_home())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_HOME]
        else:
            os.environ[_HOME] = before


@cache
def _scratch_home() -> Path:
    """Make one for the process, since Ray reads its key once; it goes when the process ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = stack.enter_context(scratch_folder("ray"))
    (folder / _BOOTSTRAP).write_text("{}\n", encoding="utf-8", newline="\n")
    keys = Path(os.path.expanduser("~/.ray"))  # noqa: PTH111  Path.home() raises where there is none
    if keys.is_dir():
        (folder / ".ray").symlink_to(keys)
    return folder
