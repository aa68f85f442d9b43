"""Our writer of safetensors files gives the bytes of the library's own."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from resnas_deploy.weights.tensors_file import write_tensors

RNG = np.random.default_rng(0)
TENSORS = {
    "b": RNG.random((3, 5), dtype=np.float32),
    "a.weight": RNG.random((2, 1, 3, 3), dtype=np.float32),
    "a": RNG.random(1, dtype=np.float32),
    "turned": RNG.random((4, 6), dtype=np.float32).T,
    "scalar": np.array(2.5, np.float32),
}
METADATA = [{"resnas": '{"a": "b\\n"}'}, {"quoted": 'a "b" \\ \t \x01 ü €'}, {}]


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("count", range(1, len(TENSORS) + 1))
def test_bytes_are_those_of_the_library(tmp_path: Path, count: int, metadata: dict[str, str]) -> None:
    tensors = dict(list(TENSORS.items())[:count])
    digest = write_tensors(tensors, metadata, tmp_path / "ours")
    save_file({name: np.copy(tensor, order="C") for name, tensor in tensors.items()}, tmp_path / "theirs", metadata)
    ours, theirs = ((tmp_path / name).read_bytes() for name in ("ours", "theirs"))
    assert ours == theirs
    assert digest == hashlib.sha256(ours).hexdigest()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_tensors(TENSORS, {"said": "this"}, tmp_path / "a")
    with safe_open(tmp_path / "a", framework="numpy") as file:
        assert file.metadata() == {"said": "this"}
        for name, tensor in TENSORS.items():
            np.testing.assert_array_equal(file.get_tensor(name), tensor)
