"""Images that quantisation learns the activations' ranges from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from resnas_deploy.arch.inputs import FLOAT32, InputKind
from resnas_deploy.data.demo import demo_images
from resnas_deploy.errors import BadInput, shortened
from resnas_deploy.files.reading import opened
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.listing import images_below
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.images.stream import prepared
from resnas_deploy.runners.base import Images

Item = TypeVar("Item")

DEFAULT_IMAGES = 128
_START, _MOST_HEADER = 12, 65_535  # bytes of a .npy file
_SEED = 0  # of which images are taken: the same ones in every export


@dataclass(frozen=True)
class Calibration:
    """Images, as the graph takes them, and where they come from."""

    source: str
    images: Images

    def to_json(self) -> dict[str, object]:
        """Return what the manifest says: enough to tell whether two artifacts were calibrated alike."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()
        return {"source": self.source, "images": len(self.images), "sha256": digest}


def calibration(
    source: Path | None, count: int, preprocessing: Preprocessing, kind: InputKind = FLOAT32
) -> Calibration:
    """Read `count` images from a folder (at any depth), an array in a .npy file, or the built-in data set.

    An array must be as the graph takes it: float32 `(N, 3, S, S)` and normalised, or uint8 `(N, S, S, 3)`; images are
    preprocessed. Raise `BadInput` where there are fewer than `count`, where an image cannot be read, and for NaN or
    infinity.
    """

    def stacked(items: Iterable[Item], load: Callable[[Item], Image]) -> Images:
        return np.stack(list(prepared(items, load, preprocessing, kind.name)))

    if source is None:
        images = demo_images()[0]
        chosen = _drawn(len(images.labels), count, "the built-in images")
        return Calibration("demo", stacked(chosen.tolist(), images.image))
    if not _is_folder(source):
        if source.suffix == ".npy":
            return Calibration(source.name, _array(source, count, preprocessing.image_size, kind))
        raise BadInput(f"calibration must be a folder of images or an array (.npy), found no such thing at {source}")
    paths = images_below(source)
    chosen = _drawn(len(paths), count, str(source))
    return Calibration(source.name, stacked((paths[i] for i in chosen), load_image))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long
        return False


def _array(path: Path, count: int, size: int, kind: InputKind) -> Images:
    with opened(path) as file:
        start = file.read(_START)
    # Numpy reads a header of whatever length it claims; in the first version that is of two bytes, else of four.
    if start[6:7] > b"\x01" and int.from_bytes(start[8:_START], "little") > _MOST_HEADER:
        raise BadInput(f"{path} must be an array that numpy.save wrote, found: a header that is too long")
    try:
        found = np.lib.format.open_memmap(path, mode="r")  # which unpickles nothing
    except Exception as error:  # noqa: BLE001  of a damaged header numpy lets through whatever its parsers raise
        reason = shortened(str(error).partition("\n")[0], 200)
        raise BadInput(f"{path} must be an array that numpy.save wrote, found: {reason}") from None
    if found.dtype != np.dtype(kind.name) or found.shape[1:] != kind.dims(size):
        wanted = "normalised images" if kind is FLOAT32 else "images as they are cropped, not normalised"
        shape = ", ".join(map(str, kind.dims(size)))
        raise BadInput(f"{path} must hold {wanted}, {kind.name} (N, {shape}), found {found.dtype} {found.shape}")
    images: Images = np.array(found[_drawn(len(found), count, str(path))])
    if not np.isfinite(images).all():
        bad = int((~np.isfinite(images)).reshape(len(images), -1).any(1).sum())
        raise BadInput(f"{path} must hold finite numbers, found NaN or infinity in {bad} of {len(images)} images")
    return images


def _drawn(there: int, count: int, source: str) -> NDArray[np.int64]:
    """Draw which of them to take, in ascending order."""
    if there < count:
        raise BadInput(
            f"{source} must hold the {count} images that were asked for, found {there}; "
            "add some, or give `calibration_images` a smaller number"
        )
    return np.sort(np.random.default_rng(_SEED).permutation(there)[:count])
