"""Loggers of other packages, kept from giving their advice where nobody asked for it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def errors_only(name: str = "") -> Iterator[None]:
    """Let a package's logger say nothing but errors while the block runs; without a name, the root logger."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
