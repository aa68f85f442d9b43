"""What a step's process is told, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.surveying.sizes import Sizes


@dataclass(frozen=True)
class Task:
    """A step to run."""

    run: str  # module:function
    device: str
    folder: str  # for what several steps use: it is removed in the end
    seconds: float  # after which the process is ended
    sizes: Sizes
    runner: str = ""  # the one that was asked for, or the fastest one
    parameters: Mapping[str, object] | None = None

    @property
    def work(self) -> Path:
        """The folder."""
        return Path(self.folder)

    def text(self, name: str) -> str:
        """Return a parameter that is a text; empty where there is none."""
        return str((self.parameters or {}).get(name, ""))

    def flag(self, name: str) -> bool:
        """Return a parameter that is true or false; false where there is none."""
        return bool((self.parameters or {}).get(name, False))

    def batches(self) -> tuple[int, ...]:
        """Return the batch sizes to measure."""
        found = (self.parameters or {}).get("batches", self.sizes.batches)
        return tuple(int(batch) for batch in found) if isinstance(found, list | tuple) else self.sizes.batches
