"""Images for checks and timings: seeded noise, and the real ones in the package where a typical input is needed."""

from __future__ import annotations

from importlib.resources import as_file, files

import numpy as np
import numpy.typing as npt

from resnas_deploy.errors import BadInput
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.listing import is_image, is_leftover
from resnas_deploy.images.preprocessing import Preprocessing, preprocess

_NOISE_SEED = 0


def noise(batch: int, size: int) -> npt.NDArray[np.float32]:
    """Return images of noise, `(batch, 3, size, size)`, for checks and timings that need no typical input.

    They are normalised, and the same every time: the first of more are the fewer.
    """
    return np.random.default_rng(_NOISE_SEED).standard_normal((batch, 3, size, size), np.float32)


def sample_images(preprocessing: Preprocessing) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """Return the file names of the package's four images, sorted, and their batch.

    The batch is float32, (4, 3, image_size, image_size). Raise BadInput when the installed package lacks them.
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
            images.append(preprocess(load_image(path), preprocessing))
    return tuple(entry.name for entry in entries), np.stack(images)
