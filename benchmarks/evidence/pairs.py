"""Two garments on one picture, composed as they are asked for: the task of the experiments.

A picture of 32 x 32 grey pixels has a garment centred in its left half and one in its right, of ten kinds, at
random heights, sizes and slants, among pieces of other garments and noise. Its class is the ordered pair, one of 100.
The garments are Fashion-MNIST's (arXiv 1708.07747; Debian: dataset-fashion-mnist), or where that is not installed
the images that come with the package; those to train on, to search by and to validate on are different ones. Of
pictures there is no end, and no network sees one twice.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnas_deploy.data.demo import CLASS_NAMES, DemoImages, demo_images

FILES = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts them
ALL, PACKAGED = "60000 and 10000 garments of Fashion-MNIST", "8000 and 2000 garments of Fashion-MNIST"
VERSION = 1  # of how pictures are composed: with others, results are of another task
KINDS = len(CLASS_NAMES)
CLASSES = KINDS**2
NAMES = tuple(f"{left}, {right}" for left in CLASS_NAMES for right in CLASS_NAMES)
SIDE = 32  # pixels of a picture
PIECES = 2  # of other garments
VALIDATION, SEARCH = 20_000, 2_000  # pictures
_TRAIN, _SEARCH, _VALIDATION = range(3)  # what garments and random numbers are for
_HELD_OUT = 12  # one in so many garments of the training split is kept for the search


class Garments(NamedTuple):
    """Grey images of single garments, in random order."""

    pixels: Tensor  # (garments, 1, 28, 28), float32 from 0 to 1
    kinds: NDArray[np.int64]  # (garments,)


def here() -> str:
    """Return which garments this machine has: all of Debian's, or else the package's. None is read."""
    return ALL if FILES.is_dir() else PACKAGED


@cache
def wardrobe() -> tuple[Garments, Garments, Garments]:
    """Read the garments of which pictures are composed, by what they are for."""
    train, val = installed() if here() == ALL else demo_images()
    held_out = np.arange(len(train.labels)) % _HELD_OUT == 0
    parts = ((train, ~held_out), (train, held_out), (val, np.ones(len(val.labels), bool)))
    return tuple(_garments(images.pixels[these], images.labels[these]) for images, these in parts)


def installed() -> tuple[DemoImages, DemoImages]:
    """Read all of Fashion-MNIST's files: the training and the test split."""
    return tuple(
        DemoImages(_idx(f"{name}-images-idx3-ubyte.gz"), _idx(f"{name}-labels-idx1-ubyte.gz").astype(np.int64))
        for name in ("train", "t10k")
    )


def _idx(name: str) -> NDArray[np.uint8]:
    """Read an array of bytes in the IDX format: two zeros, the type (8), the dimensions, their sizes, the values."""
    content = gzip.decompress((FILES / name).read_bytes())
    shape = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


def _garments(pixels: NDArray[np.uint8], kinds: NDArray[np.int64]) -> Garments:
    return Garments(torch.from_numpy(pixels.astype(np.float32) / 255)[:, None], kinds)


def batch(seed: int, step: int, size: int) -> tuple[Tensor, Tensor]:
    """Compose the pictures of a step of training, `(size, 3, 32, 32)` of uint8, and their classes, `(size,)`."""
    pixels, labels = _composed(_TRAIN, np.random.default_rng((_TRAIN, seed, step)), size)
    return torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1), torch.from_numpy(labels)


@cache
def validation(pictures: int = VALIDATION) -> DemoImages:
    """Return the pictures that networks are judged by, the first of those that are always the same."""
    return _split(_VALIDATION, pictures)


@cache
def searched_by(pictures: int = SEARCH) -> DemoImages:
    """Return the pictures that a search scores by: of garments that are neither trained nor validated on."""
    return _split(_SEARCH, pictures)


def _split(use: int, pictures: int) -> DemoImages:
    """Compose a fixed set, a thousand at a time."""
    parts = [_composed(use, np.random.default_rng((use, part)), 1000) for part in range(-(-pictures // 1000))]
    pixels, labels = (np.concatenate(each)[:pictures] for each in zip(*parts, strict=True))
    return DemoImages(pixels, labels, NAMES)


def _composed(use: int, rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Compose pictures, `(count, 32, 32)`, and their classes."""
    garments, layers = wardrobe()[use], PIECES + 2
    chosen = rng.integers(len(garments.kinds), size=(count, layers))
    sizes = rng.uniform(15, 21, (count, layers)) / SIDE
    sizes[:, :PIECES] *= rng.uniform(0.5, 1, (count, PIECES))
    turns = rng.uniform(-0.25, 0.25, (count, layers))  # radians
    x, y = rng.uniform(-1, 1, (2, count, layers))
    x[:, PIECES] = rng.uniform(-0.55, -0.35, count)  # the left garment
    x[:, PIECES + 1] = rng.uniform(0.35, 0.55, count)
    y[:, PIECES:] *= 0.4
    bright = rng.uniform(0.6, 1, (count, layers))
    sources = garments.pixels[chosen.ravel()]
    cuts = rng.integers(4, 16, (count, PIECES, 2))  # where a piece of 9 x 9 pixels of a garment begins
    across = np.arange(sources.shape[-1])
    inside = (across >= cuts[..., None]) & (across < cuts[..., None] + 9)
    windows = np.ones((count, layers, len(across), len(across)), np.float32)
    windows[:, :PIECES] = inside[:, :, 0, :, None] & inside[:, :, 1, None, :]
    sources = sources * torch.from_numpy(windows.reshape(-1, 1, len(across), len(across)))
    cos, sin = np.cos(turns) / sizes, np.sin(turns) / sizes
    to_source = np.stack([cos, sin, -(cos * x + sin * y), -sin, cos, sin * x - cos * y], -1).reshape(-1, 2, 3)
    grid = F.affine_grid(torch.from_numpy(to_source.astype(np.float32)), [len(sources), 1, SIDE, SIDE], False)
    drawn = F.grid_sample(sources, grid, align_corners=False).numpy().reshape(count, layers, SIDE, SIDE)
    picture = (drawn * bright[..., None, None].astype(np.float32)).max(axis=1)
    picture += rng.normal(0, 0.05, picture.shape).astype(np.float32)
    kinds = garments.kinds[chosen[:, PIECES:]]
    pixels = np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)
    return pixels, kinds[:, 0] * KINDS + kinds[:, 1]
