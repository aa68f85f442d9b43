"""A run's figures as they come: JSON lines, and TensorBoard's events where it is installed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from resnas_deploy.atomic import atomic_file

FILE = "metrics.jsonl"


class Metrics:
    """A context manager that appends to a run's folder. Lines of steps that are taken again are dropped."""

    def __init__(self, folder: Path, first_step: int) -> None:
        path = folder / FILE
        kept = [line for line in _lines(path) if _step(line) <= first_step]
        with atomic_file(path) as partial:
            partial.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")
        self._events = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=first_step or None)

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures after so many steps."""
        self._file.write(json.dumps({"step": step, **figures}) + "\n")
        self._file.flush()
        if self._events:
            for name, value in figures.items():
                self._events.add_scalar(name, value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._events:
            self._events.close()


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _step(line: str) -> float:
    """The step of a line; that of one that a kill cut off is beyond all."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
