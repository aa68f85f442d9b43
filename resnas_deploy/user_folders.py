"""A user's own folders, by the XDG base directory specification. A user may have none: no home, not even a name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_OURS = "resnas"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where what can be made again is kept; None for a user without a home."""
    return _folder(environment, "XDG_CACHE_HOME", ".cache")


def data_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where results are kept; None for a user without a home."""
    return _folder(environment, "XDG_DATA_HOME", ".local/share")


def _folder(environment: Mapping[str, str], variable: str, usual: str) -> Path | None:
    base = Path(environment.get(variable, ""))
    if base.is_absolute():
        return base / _OURS
    try:
        home = Path(environment["HOME"]) if "HOME" in environment else Path.home()
    except RuntimeError:  # no HOME, and no entry in passwd
        return None
    return home / usual / _OURS if home.is_absolute() else None
