"""Class names: those of ImageNet, and those that a user brings."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.places import ROOT

from resnas_deploy.errors import BadInput
from resnas_deploy.images.class_names import MAX_FILE_BYTES, imagenet_class_names, read_class_names


def _file(folder: Path, data: bytes) -> Path:
    path = folder / "names.txt"
    path.write_bytes(data)
    return path


def _message(path: Path, classes: int) -> str:
    with pytest.raises(BadInput) as caught:
        read_class_names(path, classes)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path))[1:40] in message
    return message


def test_imagenet_has_1000_names_in_class_order() -> None:
    names = imagenet_class_names()
    assert len(names) == 1000
    assert all(name and name == name.strip() for name in names)
    assert names[0] == "tench"
    assert names[281] == "tabby"
    assert names[285] == "Egyptian cat"
    assert names[657] == "missile"
    assert names[967] == "espresso"
    assert names[999] == "toilet tissue"


def test_the_licence_of_the_names_lies_beside_them() -> None:
    text = Path("resnas_deploy/images/assets/imagenet_classes.LICENSE.txt")
    licence = (ROOT / text).read_text(encoding="utf-8")
    assert "torchvision 0.29.2" in licence
    assert "BSD 3-Clause License" in licence
    assert "Soumith Chintala" in licence


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\n",
        b"cat\ndog",
        b"cat\r\ndog\r\n",
        b"  cat\t\ndog \n",
        b"\xef\xbb\xbfcat\ndog\n",
    ],
)
def test_reads_one_name_a_line(tmp_path: Path, data: bytes) -> None:
    assert read_class_names(_file(tmp_path, data), 2) == ("cat", "dog")


def test_names_may_repeat_and_hold_any_script(tmp_path: Path) -> None:
    names = ("crane", "crane", "Kätzchen, grau", "猫", "jack-o'-lantern")
    assert read_class_names(_file(tmp_path, "\n".join(names).encode()), 5) == names


def test_only_newlines_end_a_line(tmp_path: Path) -> None:
    assert read_class_names(_file(tmp_path, "a\u2028b\nc\n".encode()), 2) == ("a\u2028b", "c")


@pytest.mark.parametrize(("data", "found"), [(b"cat\ndog\n", 2), (b"", 0), (b"a\nb\nc\nd\n", 4)])
def test_another_count_is_refused_with_both_counts(tmp_path: Path, data: bytes, found: int) -> None:
    message = _message(_file(tmp_path, data), 3)
    assert "name 3 classes" in message
    assert f"found {found};" in message


@pytest.mark.parametrize(
    ("data", "line", "what"),
    [
        (b"cat\n\ndog\n", 2, "empty"),
        (b"cat\ndog\n\n", 3, "empty"),
        (b"cat\n \t\n", 2, "empty"),
        (b"cat\ndo\xffg\n", 2, "0xff"),
        (b"cat\nd\xc3\n", 2, "0xc3"),
        (b"cat\nd\x1b[31mog\n", 2, "control"),
        (b"cat\nd\0g\n", 2, "control"),
    ],
)
def test_a_bad_line_is_refused_with_its_number(tmp_path: Path, data: bytes, line: int, what: str) -> None:
    message = _message(_file(tmp_path, data), 2)
    assert f"line {line}:" in message
    assert what in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_told_from_other_bytes(tmp_path: Path, encoding: str) -> None:
    assert "found UTF-16; save it as UTF-8" in _message(_file(tmp_path, "cat\ndog\n".encode(encoding)), 2)


def test_what_is_no_readable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such file" in _message(tmp_path / "absent.txt", 2)
    assert "found a folder" in _message(tmp_path, 2)
    assert "null" in _message(tmp_path / "a\0b", 2)
    assert "too long" in _message(tmp_path / ("a" * 5000), 2)
    assert "No such file" in _message(tmp_path / "two\nlines", 2)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = _file(tmp_path, b"cat\ndog\n")
    monkeypatch.setattr("os.open", refuse)
    assert "Permission denied" in _message(path, 2)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.bin"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no disk space
    assert f"{MAX_FILE_BYTES} bytes" in _message(path, 2)
