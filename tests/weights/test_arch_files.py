"""Architectures as people name them: a published name or a file, and one line for anything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.checks import refusal
from support.networks import SMALL

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.weights.arch_files import read_arch


def test_an_architecture_is_read_by_name_or_from_a_file(tmp_path: Path) -> None:
    assert read_arch("small") == PUBLISHED["small"].arch
    file = tmp_path / "arch.json"
    file.write_text(json.dumps(SMALL.to_json()))
    assert read_arch(str(file)) == SMALL


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{", b"{}", b"\xff\xfe", b"\x00" * 100, b"[" * 10**5, b'{"a":' * 10**5, b"9" * 10**4, b"()"],
)
def test_a_file_that_is_no_architecture_is_one_line_with_its_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "arch.json"
    file.write_bytes(content)
    assert refusal(lambda: read_arch(str(file))).startswith(str(file))


def test_a_name_that_is_no_architecture_is_one_line(tmp_path: Path) -> None:
    for source in ("large", "", str(tmp_path), str(tmp_path / "absent"), "((4, 176), " * 1000, "two\nlines", "a\0b"):
        message = refusal(lambda source=source: read_arch(source))
        assert message.startswith("an architecture must be tiny, small, medium or a file, found '")
        assert len(message) < 250
