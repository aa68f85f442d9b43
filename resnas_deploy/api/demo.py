"""The trained network that comes with the package, to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.data.demo_files import CHECKPOINT, PICTURES, write_demo


@dataclass(frozen=True)
class Demo:
    """Files of the demo network."""

    folder: Path
    checkpoint: Path  # trained on the built-in data (`data="demo"`): 32 x 32 pixels, ten classes of clothes
    pictures: tuple[Path, ...]  # one of each class, of neither split

    def to_json(self) -> dict[str, object]:
        """Return what `resnas demo --json` prints."""
        return {
            "folder": str(self.folder),
            "checkpoint": str(self.checkpoint),
            "pictures": list(map(str, self.pictures)),
        }


@checked
def demo(out: str | Path = "demo") -> Demo:
    """Write the trained network that comes with the package, and pictures to try it with, to a folder.

    Args:
        out: the folder to write. Where the same files are there already, they stay.

    Raise `BadInput` where something else is there.
    """
    folder = Path(out)
    write_demo(folder)
    return Demo(folder, folder / CHECKPOINT, tuple(sorted((folder / PICTURES).glob("*.png"))))
