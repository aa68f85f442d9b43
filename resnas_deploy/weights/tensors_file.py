"""Writes a safetensors file as a stream that is hashed on its way. Its bytes are those of the library's own writer.

The format: eight bytes with the header's length, the header in JSON, filled up with spaces to a multiple of eight
bytes, and the tensors one after the other without a gap (https://github.com/huggingface/safetensors, README, "Format").
The library orders tensors by the size of their type and then by name; all of ours are float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.files.hashed import hashed_file

_ALIGNMENT = 8  # bytes


def write_tensors(tensors: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str], path: Path) -> str:
    """Write float32 tensors and what is said of them. Return the file's sha256, hexadecimal."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with hashed_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            file.write(np.ascontiguousarray(tensors[name], "<f4").reshape(-1).view("u1").data)
        return file.digest
