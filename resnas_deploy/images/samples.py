"""Images for checks and timings: seeded noise, and the real ones in the package where a typical input is needed."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np

from resnas_deploy.arch.inputs import FLOAT32, InputKind
from resnas_deploy.errors import BadInput
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.listing import is_image, is_leftover
from resnas_deploy.images.preprocessing import Inputs, Preprocessing, prepare

_NOISE_SEED = 0


def noise(batch: int, size: int, kind: InputKind = FLOAT32) -> Inputs:
    """Return images of noise as an input takes them, for checks and timings that need no typical input.

    Those of float32 are normalised, `(batch, 3, size, size)`; of uint8, `(batch, size, size, 3)`, each level is as
    likely. They are the same every time: the first of more are the fewer.
    """
    rng = np.random.default_rng(_NOISE_SEED)
    if kind is FLOAT32:
        return rng.standard_normal(kind.shape(batch, size), np.float32)
    return np.frombuffer(rng.bytes(batch * kind.image_bytes(size)), np.uint8).reshape(kind.shape(batch, size)).copy()


def sample_images(preprocessing: Preprocessing, kind: InputKind = FLOAT32) -> tuple[tuple[str, ...], Inputs]:
    """Return the file names of the package's four images, sorted, and their batch.

    The batch is float32, (4, 3, image_size, image_size), or as another input takes it. Raise BadInput when the
    installed package lacks them.
    """
    folder = files("resnas_deploy.images") / "assets" / "samples"
    there = folder.iterdir() if folder.is_dir() else ()
    entries = [entry for entry in there if is_image(entry.name) and not is_leftover(entry.name)]
    if not entries:
        raise BadInput(f"{str(folder)!r} must hold the package's sample images; found none; reinstall the package")
    entries.sort(key=lambda entry: entry.name)
    images = []
    for entry in entries:
        with as_file(entry) as path:  # the package may lie in a zip archive
            images.append(prepare(load_image(path), preprocessing, kind.name))
    return tuple(entry.name for entry in entries), np.stack(images)
