"""Levels of a load test from what people write: `1,8,32` at once, `50,100.5rps`, `50ms`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.serving.load.level import Level

_MOST_AT_ONCE, _FASTEST = 4096, 1_000_000.0
_QUANTITY = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,20})?) ?([a-z]*)")
_RATES = {"": 1.0, "rps": 1.0}
_MILLISECONDS = {"": 1.0, "ms": 1.0, "s": 1e3}


def parse_levels(concurrency: str, rate: str) -> list[Level]:
    """Levels of concurrency, then of rates. Raises `BadInput`."""
    levels = []
    for text in filter(None, concurrency.split(",")):
        if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _MOST_AT_ONCE):
            raise BadInput(
                f"--concurrency must be numbers from 1 to {_MOST_AT_ONCE} such as 1,8,32, found {shown(text)}"
            )
        levels.append(Level(concurrency=int(text)))
    levels += [Level(rate=parse_rate(text, "--rate")) for text in filter(None, rate.split(","))]
    return levels


def parse_rate(text: str, option: str) -> float:
    """Requests a second: `50` or `50rps`. Raises `BadInput`."""
    found = _quantity(text, _RATES)
    if found is None or not 0 < found <= _FASTEST:
        raise BadInput(f"{option} must be requests a second such as 50 or 50rps, found {shown(text)}")
    return found


def parse_milliseconds(text: str, option: str) -> float:
    """Milliseconds: `50`, `50ms` or `0.05s`. Raises `BadInput`."""
    found = _quantity(text, _MILLISECONDS)
    if not found:
        raise BadInput(f"{option} must be a time such as 50ms or 0.05s, found {shown(text)}")
    return found


def _quantity(text: str, units: Mapping[str, float]) -> float | None:
    match = _QUANTITY.fullmatch(text.strip())
    return float(match[1]) * units[match[2]] if match and match[2] in units else None
