"""The built-in data set: some thousands of Fashion-MNIST's images (arXiv 1708.07747; MIT licence, beside them)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.data.labelled import Indices
from resnas_deploy.images.crops import Choose, cropped

CLASS_NAMES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)


@dataclass(frozen=True)
class DemoImages:
    """Grey images of 28 x 28 pixels in memory."""

    pixels: NDArray[np.uint8]  # (images, 28, 28)
    labels: Indices
    class_names: tuple[str, ...] = CLASS_NAMES

    @property
    def chunks(self) -> Sequence[Indices]:
        return [np.arange(len(self.labels))]

    def name(self, index: int) -> str:
        return f"image {index}"

    def image(self, index: int) -> Image.Image:
        return Image.fromarray(self.pixels[index]).convert("RGB")

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        return cropped(self.image(index), choose, side)


def demo_images() -> tuple[DemoImages, DemoImages]:
    """Return the training and the validation split."""
    with (
        as_file(files("resnas_deploy.data").joinpath("fashion-mnist", "pictures.npz")) as path,
        np.load(path, allow_pickle=False) as arrays,
    ):
        train, val = (
            DemoImages(arrays[f"{name}_pictures"], arrays[f"{name}_labels"].astype(np.int64))
            for name in ("train", "val")
        )
    return train, val
