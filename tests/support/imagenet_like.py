"""A folder of generated images in ImageNet's layout and with its names and its known oddities, a few images a class."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image
from support.images import exif
from support.places import GOLDEN

SIDES = ((250, 188), (188, 250), (250, 200), (333, 250), (120, 90), (230, 230))  # ImageNet's, half as large
ROTATED, CMYK, PNG, GREY, PROGRESSIVE = range(5)  # kinds of odd images
ODD = {  # by the class's number: real ImageNet has some of each of these kinds under the name of a JPEG
    3: ROTATED,
    60: CMYK,
    158: GREY,
    245: PNG,
    700: PROGRESSIVE,
    -1: CMYK,
}


@functools.cache
def wordnet_ids():
    """The WordNet ids of the 1000 classes, sorted."""
    return tuple((GOLDEN / "imagenet_wordnet_ids.txt").read_text().split())


def write_imagenet(root, train=2, val=1, classes=1000):
    """The two splits, as `--data` takes them; with what systems leave in folders. Returns `root`."""
    ids = wordnet_ids()[:classes]
    number = 0
    for label, name in enumerate(ids):
        kind = ODD.get(label, ODD.get(label - len(ids)))
        for split, count in (("train", train), ("val", val)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for place in range(count):
                number += 1
                file = f"{name}_{10026 + 3 * place}.JPEG" if split == "train" else f"ILSVRC2012_val_{number:08}.JPEG"
                _write(folder / file, label, number, kind if place == 0 else None)
    for left in ("train/.DS_Store", f"train/{ids[0]}/.DS_Store", f"train/{ids[1]}/._{ids[1]}_10026.JPEG"):
        (root / left).write_bytes(b"\0\0\0\1Bud1")
    return root


def _write(path, label, number, kind):
    """Write blobs in a colour of the class, which a network can learn."""
    rng = np.random.default_rng((label, number))
    colours = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    colours[:, ::2] = np.random.default_rng(label).integers(0, 256, 3)
    image = Image.fromarray(colours).resize(SIDES[number % len(SIDES)], Image.Resampling.BILINEAR)
    if kind == CMYK:
        image = image.convert("CMYK")
    elif kind == GREY:
        image = image.convert("L")
    options = {"exif": exif(6)} if kind == ROTATED else {"progressive": True} if kind == PROGRESSIVE else {}
    image.save(path, "PNG" if kind == PNG else "JPEG", **options)
