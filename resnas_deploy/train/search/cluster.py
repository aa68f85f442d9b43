"""Ray's cluster: another one that is named, or one of this machine's for this process alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from resnas_deploy.errors import BadInput, first_line
from resnas_deploy.quiet import load
from resnas_deploy.runners.base import usable_cores

_ADDRESS = "RAY_ADDRESS"  # where Ray's own programs look for the address of a cluster
_LOCAL = "local"  # what Ray calls a cluster that it starts
_HOME = "HOME"
_BOOTSTRAP = "ray_bootstrap_config.yaml"


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """Yield Ray, connected to the cluster of that address; without one to `RAY_ADDRESS`, else to one started here.

    A cluster that somebody else has running on this machine is not taken: it would be given our pickled functions.
    Raises `BadInput`.
    """
    ray = load("ray")
    address = address or os.environ.get(_ADDRESS, "").strip() or _LOCAL
    try:
        if address == _LOCAL:
            with _other_home():
                _init(ray, _LOCAL, num_cpus=usable_cores())
        else:
            _init(ray, address)
    except (OSError, ValueError, RuntimeError) as error:  # of an address: that nobody answers at, or is none
        raise BadInput(
            f"Ray must be reachable at {address!r:.60} (--workers or {_ADDRESS}), found: {first_line(error)}"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _init(ray: Any, address: str, **options: Any) -> None:
    ray.init(address, include_dashboard=False, log_to_driver=False, configure_logging=False, **options)


@contextmanager
def _other_home() -> Iterator[None]:
    """Within the block, HOME is another folder, in which Ray finds that nobody's cloud has started it.

    Without that it asks the addresses at which clouds tell machines about themselves, statistics or none; its key to
    the cluster lies there too.
    """
    before = os.environ.get(_HOME)
    os.environ[_HOME] = _scratch_home().name
    try:
        yield
    finally:
        if before is None:
            del os.environ[_HOME]
        else:
            os.environ[_HOME] = before


@cache
def _scratch_home() -> tempfile.TemporaryDirectory[str]:
    """One for the process, since Ray reads its key once; it goes when the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="resnas-ray-")
    (Path(folder.name) / _BOOTSTRAP).write_text("{}\n")
    keys = Path(os.path.expanduser("~/.ray"))  # noqa: PTH111  Path.home() raises where there is none
    if keys.is_dir():
        (Path(folder.name) / ".ray").symlink_to(keys)
    return folder
