"""Small files are read whole or refused at once: whatever a name leads to, and whatever is in it."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from support.checks import refusal

from resnas_deploy.errors import LONGEST, BadInput, first_few, shortened, shown, whole_number
from resnas_deploy.files.reading import check_tensors, parse_json, read_bytes, read_json, read_text


def written(tmp_path, content):
    path = tmp_path / "a"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_and_a_link_to_one(tmp_path):
    path = written(tmp_path, "text\n")
    (tmp_path / "link").symlink_to(path)
    assert read_text(path) == read_text(tmp_path / "link") == "text\n"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/tty", "/dev/stdin", "/proc/self/fd/0"])
def test_what_has_no_end_is_refused_at_once(device):
    """In a process of its own, whose input is a pipe that nobody ever writes to."""
    program = (
        f"from pathlib import Path; from resnas_deploy.files.reading import read_bytes; read_bytes(Path({device!r}))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        child.wait(60)
        said = child.stderr.read()
    assert "BadInput" in said, said
    assert "must be a file, found a pipe or a device" in said or "must be a readable file" in said


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "found a pipe or a device" in refusal(lambda: read_text(tmp_path / "pipe"))


def test_files_of_the_kernel_end_or_are_refused():
    assert read_text(Path("/proc/self/status")).startswith("Name:")
    for path in ("/proc/kmsg", "/proc/self/mem", "/proc/kcore"):
        if Path(path).exists():
            try:
                assert len(read_bytes(Path(path), 1000)) <= 1000  # of the kernel's log what it has just now
            except BadInput as error:
                assert path in str(error)


def test_no_more_than_is_allowed(tmp_path):
    path = written(tmp_path, b"x" * 100)
    assert read_bytes(path, 100) == b"x" * 100
    assert "must have at most 99 bytes, found more" in refusal(lambda: read_bytes(path, 99))
    os.truncate(path, 10**13)  # sparse
    assert "must have at most 1000000 bytes" in refusal(lambda: read_text(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("é".encode("latin-1"), "found the byte 0xe9"),
        ("abc".encode("utf-16"), "found UTF-16; save it as UTF-8"),
        ("abc".encode("utf-16-le"), "found UTF-16; save it as UTF-8"),
        ("abc".encode("utf-16-be"), "found UTF-16; save it as UTF-8"),
        (b"abc\0", "found a null character"),
    ],
)
def test_what_is_no_text(tmp_path, content, said):
    assert said in refusal(lambda: read_text(written(tmp_path, content)))


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    assert read_text(written(tmp_path, b"\xef\xbb\xbfabc")) == "abc"
    assert read_json(written(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n')) == {"a": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "the number NaN"),
        ("[-Infinity]", "the number -Infinity"),
        ("[1e400]", "the number 1e400, which is beyond float64"),
        ("9" * 40, "a number of 40 digits"),
        ("9" * 100_000, "a number of 100000 digits"),
        ('{"a": 1, "b": 2, "a": 1}', "the key 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[[]," * 600_000, "at most 1000000 lists and objects"),
        ("{}{}", "found something else"),
        ("", "found something else"),
    ],
    ids=lambda text: text[:20],
)
def test_json_that_its_standard_has_not(text, said):
    message = refusal(lambda: parse_json(text, "a document"))
    assert message.startswith("a document must ")
    assert said in message


def test_many_keys_are_looked_at_once():
    keys = ", ".join(f'"{number}": 0' for number in range(100_000))
    assert "the key '7' twice" in refusal(lambda: parse_json(f'{{{keys}, "7": 0}}', "a document"))


@pytest.mark.parametrize("claimed", [0, 1, 10**8, 2**40, 2**63, 2**64 - 1])
def test_the_header_of_tensors_is_not_taken_at_its_word(tmp_path, claimed):
    path = written(tmp_path, struct.pack("<Q", claimed) + b"{}" + bytes(100))
    assert f"found: a header of {claimed} bytes" in refusal(lambda: check_tensors(path))


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, 10**6000, [[[[[]]]]] * 1000, {"a": "x" * 10**5}, b"\0" * 10**5, 1.5],
    ids=["text", "integer", "list", "object", "bytes", "number"],
)
def test_a_wrong_value_is_shown_on_one_short_line(value):
    assert len(shown(value)) <= 60
    assert "\n" not in shown("a\nb")


def test_a_value_that_holds_itself_many_times_is_shown_at_once():
    value = ()
    for _ in range(100):  # 2**100 of the innermost, if all were written
        value = (value, value)
    assert len(shown(value)) <= 60


def test_messages_are_bounded_and_keep_their_end():
    message = str(BadInput(f"a file must be short, found {'x' * 10**6}; use another"))
    assert len(message) <= LONGEST
    assert message.startswith("a file must be short, found xxx")
    assert message.endswith("; use another")
    assert shortened("abc", 3) == "abc"
    assert len(str(BadInput(first_few(["y" * 5000] * 9)))) <= LONGEST


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "\uff11", "\u00b2", "0x1", "9" * 19, "9" * 5000]
)
def test_a_number_is_of_our_ten_digits(text):
    assert whole_number(text) is None


def test_numbers_up_to_a_bound():
    assert (whole_number("0"), whole_number("064"), whole_number("64", 63)) == (0, 64, None)


def test_names_are_on_one_line(tmp_path):
    path = tmp_path / "two\nlines\x1b[2J"
    assert "\n" not in refusal(lambda: read_text(path))
    assert len(refusal(lambda: read_text(tmp_path / ("x/" * 2000)))) < 500
    assert "null" in refusal(lambda: read_text(tmp_path / "a\0b"))


def test_what_is_read_is_json_again(tmp_path):
    document = {"a": [1, 2.5, None, True, "é"], "b": {"c": -(2**62)}}
    assert read_json(written(tmp_path, json.dumps(document))) == document
