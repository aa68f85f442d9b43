"""A user's own folders, by the XDG base directory specification. A user may have none: no home, not even a name."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from resnas_deploy.system import here

_OURS = "resnas"
_NOWHERE = "/nonexistent"  # as Debian calls the home of users that have none


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where what can be made again is kept; None for a user without a home."""
    return _folder(environment, "XDG_CACHE_HOME", ".cache")


def data_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where results are kept; None for a user without a home."""
    return _folder(environment, "XDG_DATA_HOME", ".local/share")


def stand_in(environment: MutableMapping[str, str] = os.environ) -> None:
    """Give a user without a home, or a name, one for this process: what is imported later fails without."""
    if _home() is None:
        environment["HOME"] = _NOWHERE
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):  # by the version of Python; the last where there is no passwd
        environment["LOGNAME"] = here.user_name()


def _folder(environment: Mapping[str, str], variable: str, usual: str) -> Path | None:
    base = Path(environment.get(variable, ""))
    if base.is_absolute():
        return base / _OURS
    if system := here.cache_base(environment):
        return Path(system) / _OURS
    home = Path(environment["HOME"]) if "HOME" in environment else _home()
    return home / usual / _OURS if home and home.is_absolute() and str(home) != _NOWHERE else None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no entry in passwd
        return None
