"""Images for checks: seeded noise and the package's own images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from support.images import SMALL
from support.places import IMAGES

from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.images.samples import noise, sample_images


def _batch(paths: Iterable[Path], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    return np.stack([preprocess(load_image(path), preprocessing) for path in paths])


def test_the_packaged_images() -> None:
    names, batch = sample_images(SMALL)
    assert names == ("astronaut.jpg", "cat.jpg", "coffee.jpg", "rocket.jpg")
    np.testing.assert_array_equal(batch, _batch([IMAGES / name for name in names], SMALL))
    assert batch.shape == (4, 3, 32, 32)
    assert {path.name for path in IMAGES.iterdir()} == {*names, "README.md"}
    assert all((IMAGES / name).stat().st_size < 40_000 for name in names)


def test_noise_is_the_same_every_time_and_normalised() -> None:
    found = noise(4, 32)
    assert (found.shape, found.dtype) == ((4, 3, 32, 32), np.float32)
    np.testing.assert_array_equal(found[:2], noise(2, 32))
    assert abs(found.mean()) < 0.05
    assert abs(found.std() - 1) < 0.05
