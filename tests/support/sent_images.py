"""Files of images that tests send to a server: a good one, and one whose head says that it is far too large."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image


def noise_png(seed):
    """An image of noise and the bytes of its file."""
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (150, 130, 3), dtype=np.uint8))
    file = io.BytesIO()
    image.save(file, "PNG")
    return image, file.getvalue()


_, GOOD = noise_png(0)
# The same file, whose head says 20,000 x 20,000 pixels.
_HEAD = GOOD[12:16] + struct.pack(">II", 20_000, 20_000) + GOOD[24:29]
HUGE = GOOD[:12] + _HEAD + struct.pack(">I", zlib.crc32(_HEAD)) + GOOD[33:]
