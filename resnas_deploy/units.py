"""Quantities as people write them: a number and a unit, such as `2.9G`, `8 ms` or `50rps`; times as they say them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_QUANTITY = re.compile(r"([0-9]{1,100}(?:\.[0-9]{1,100})?(?:e[0-9]{1,3})?)\s*([a-zA-Z]*|%)")

MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3}


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
