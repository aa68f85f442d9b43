"""Levels of a load test from what people write: `1,8,32` at once, `50,100.5rps`, `50ms`."""

from __future__ import annotations

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.serving.load.level import Level
from resnas_deploy.units import MILLISECONDS, parse_quantity

_MOST_AT_ONCE, _FASTEST = 4096, 1_000_000.0
_RATES = {"": 1.0, "rps": 1.0}
_MILLISECONDS = MILLISECONDS | {"": 1.0}


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
    found = parse_quantity(text, _RATES)
    if found is None or not 0 < found <= _FASTEST:
        raise BadInput(f"{option} must be requests a second such as 50 or 50rps, found {shown(text)}")
    return found


def parse_milliseconds(text: str, option: str) -> float:
    """Milliseconds: `50`, `50ms` or `0.05s`. Raises `BadInput`."""
    found = parse_quantity(text, _MILLISECONDS)
    if found is None or not 0 < found <= 1e10:
        raise BadInput(f"{option} must be a time such as 50ms or 0.05s, found {shown(text)}")
    return found
