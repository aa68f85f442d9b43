"""What is hashed on its way to a file is the file's hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from resnas_deploy.files.hashed import hashed_file


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"what was there before, which is longer")
    with hashed_file(path) as file:
        assert file.write(b"abc") == 3
        assert file.write(np.arange(5, dtype="u1").data) == 5
        digest = file.digest
    assert path.read_bytes() == b"abc\0\1\2\3\4"
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_full_disk_is_told() -> None:
    """To the kernel's device that is always full (full(4))."""
    with pytest.raises(OSError, match="No space left on device"), hashed_file(Path("/dev/full")) as file:
        file.write(bytes(2**20))
