"""Small data sets, runs and a search space that the tests of training and search share.

Run as a program it is `resnas` with that space, `little`, beside the others.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.images.crops import cropped
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.run import TrainingRun
from resnas_deploy.weights.space_files import packaged_spaces

SIDE, CLASSES = 16, 3

SPACE = SearchSpace(
    "little",
    (
        StageSpace((8, 6), (2, 1), (4,), (16, 8), 2, (2,)),
        StageSpace((12, 10), (2, 1), (6,), (24, 12), 2, (2,)),
        StageSpace((16, 14), (2, 1), (8,), (32, 16), 2, (2,)),
    ),
    classes=CLASSES,
    image_size=SIDE,
    patch_size=2,
    stem_mid_widths=(4,),
)

RECIPE = Recipe(
    epochs=2,
    batch=8,
    group=4,
    learning_rate=0.1,
    warm_up_epochs=1,
    drop_path=0.2,
    opening_epochs=1,
    masked=False,  # not "auto", which depends on the machine's mood: sums of floats in another order
)


@dataclass(frozen=True)
class Stripes:
    """Images that a network can learn: each class has stripes of its own direction and colour."""

    count: int = 24
    seed: int = 0
    class_names: tuple[str, ...] = ("red", "green", "blue")
    unreadable: Sequence[int] = field(default=())

    @property
    def labels(self):
        return np.arange(self.count) % CLASSES

    @property
    def chunks(self):
        return [np.arange(self.count)]

    def name(self, index):
        return f"{index}.png"

    def image(self, index):
        return Image.fromarray(pixels(index % CLASSES, (self.seed, index)))

    def crop(self, index, choose, side):
        return cropped(self.image(index), choose, side)


class SlowStripes(Stripes):
    """The same, of which no process makes more than 50 a second."""

    def image(self, index):
        time.sleep(0.02)
        return super().image(index)


def pixels(label, seed):
    """One image, `(SIDE, SIDE, 3)`."""
    rng = np.random.default_rng(seed)
    found = rng.integers(0, 80, (SIDE, SIDE, 3), dtype=np.uint8)
    found[:: 2 + label, :, label] += 150
    return found


def alone():
    """One process, on the CPU."""
    return Processes(Share(), torch.device("cpu"))


def run(folder, *, space=SPACE, recipe=RECIPE, seed=0, **changes):
    """A run of a supernet, or of its widest network where the space is None."""
    folder.mkdir(parents=True, exist_ok=True)
    usual = {
        "arch": SPACE.widest().full,
        "space": space,
        "recipe": recipe,
        "data": "stripes",
        "train": Stripes(),
        "val": Stripes(9, seed=1),
        "preprocessing": Preprocessing(SIDE, SIDE),
        "seed": seed,
        "folder": folder,
    }
    return TrainingRun(**usual | changes)


def write_folder(root: Path, train=8, val=2):
    """A folder of class folders with images, as `--data` takes it."""
    for split, count in (("train", train), ("val", val)):
        for label, name in enumerate(Stripes().class_names):
            inside = root / split / name
            inside.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(pixels(label, (label, number))).save(inside / f"{number}.png")
    return root


def write_shards(root: Path, shards=3, samples=6):
    """The same as WebDataset shards."""
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        for shard in range(shards):
            with tarfile.open(root / split / f"{shard:04}.tar", "w") as archive:
                for number in range(samples):
                    label, key = number % CLASSES, f"{shard:02}/{number:04}"
                    image = io.BytesIO()
                    Image.fromarray(pixels(label, (shard, number))).save(image, "PNG")
                    add(archive, f"{key}.png", image.getvalue())
                    add(archive, f"{key}.cls", str(label).encode())
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in Stripes().class_names))
    return root


def add(archive, name, content):
    """A file of a tar archive."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


if __name__ == "__main__":
    from resnas_deploy.cli.app import main

    packaged_spaces()[SPACE.name] = SPACE
    main()
