"""Makes the built-in data set out of Fashion-MNIST's files (Debian: dataset-fashion-mnist).

Run once: .venv/bin/python benchmarks/make_demo_images.py /usr/share/datasets/fashion-mnist
Takes the first images of each class of either split, in the order in which they lie there; and, to predict, the first
test image of each class that is not among them, as a PNG.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from resnas_deploy.data.demo import CLASS_NAMES
from resnas_deploy.files.atomic import atomic_file

OUT = Path(__file__).parents[1] / "resnas_deploy" / "data" / "fashion-mnist" / "pictures.npz"
SPLITS = {"train": ("train", 800), "val": ("t10k", 200)}  # images of each class
SHOWN = Path(__file__).parents[1] / "examples" / "demo" / "pictures"


def idx(path: Path) -> np.ndarray:
    """Read an array of bytes in the IDX format: two zeros, the type (8), the dimensions, their sizes, the values."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def main() -> None:
    """Write the arrays, compressed."""
    folder, arrays = Path(sys.argv[1]), {}
    for name, (prefix, count) in SPLITS.items():
        images = idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        first = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(len(CLASS_NAMES))]))
        arrays |= {f"{name}_pictures": images[first], f"{name}_labels": labels[first]}
    with atomic_file(OUT) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    SHOWN.mkdir(exist_ok=True)
    for label, name in enumerate(CLASS_NAMES):
        number = np.flatnonzero(labels == label)[SPLITS["val"][1]]
        Image.fromarray(images[number]).save(SHOWN / f"{name.replace('/', ' ').replace(' ', '-').lower()}.png")


if __name__ == "__main__":
    main()
