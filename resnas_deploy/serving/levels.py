"""Levels of a load test from what people write: `1,8,32` at once, or `50,100.5` a second."""

from __future__ import annotations

import re

from resnas_deploy.errors import BadInput
from resnas_deploy.serving.load import Level

_MOST_AT_ONCE, _FASTEST = 4096, 1_000_000.0
_RATE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,6})?")


def parse_levels(concurrency: str, rate: str) -> list[Level]:
    """Levels of concurrency, then of rates. Raises `BadInput`."""
    levels = []
    for text in filter(None, concurrency.split(",")):
        if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _MOST_AT_ONCE):
            raise BadInput(
                f"--concurrency must be numbers from 1 to {_MOST_AT_ONCE} such as 1,8,32, found {text!r:.40}"
            )
        levels.append(Level(concurrency=int(text)))
    for text in filter(None, rate.split(",")):
        if not (_RATE.fullmatch(text) and 0 < float(text) <= _FASTEST):
            raise BadInput(f"--rate must be requests a second such as 50,100, found {text!r:.40}")
        levels.append(Level(rate=float(text)))
    return levels
