"""Quantities as people write them: a number and a unit, such as `2.9G` or `2000/s`; times; counts."""

from __future__ import annotations

import re
from collections.abc import Mapping

_QUANTITY = re.compile(r"([0-9]{1,100}(?:\.[0-9]{1,100})?(?:e[0-9]{1,3})?)\s*(/?[a-zA-Z]*|%)")

MEGABYTES = {"GB": 1e3, "MB": 1.0, "KB": 1e-3, "kB": 1e-3, "B": 1e-6}
MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3}
MILLIJOULES = {"J": 1e3, "mJ": 1.0, "uJ": 1e-3}
PER_SECOND = {"/s": 1.0}


def parse_quantity(text: str, units: Mapping[str, float]) -> float | None:
    """Return what a text says, in the unit whose value is 1; None where it is no number with one of the units.

    The unit "" is that of a number without one. What is too large for a float is infinite.
    """
    match = _QUANTITY.fullmatch(text.strip())
    return float(match[1]) * units[match[2]] if match and match[2] in units else None


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def several(count: int, what: str) -> str:
    """Return so many of something, one or more: a word that takes an s."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
