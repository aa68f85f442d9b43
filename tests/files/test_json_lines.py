"""Lines of a file that many add to: whole, in order, and none lost, whatever becomes of a writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from resnas_deploy.errors import BadInput
from resnas_deploy.files.json_lines import MOST_LINE, append_line, check_can_append, read_lines

WRITER = """
import json, sys
from pathlib import Path
from resnas_deploy.files.json_lines import append_line
who, count = sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
for number in range(count):
    append_line(Path(sys.argv[1]), json.dumps({"who": who, "number": number, "text": "x" * 20_000}).encode())
"""


def writer(path, who, count):
    words = [sys.executable, "-c", WRITER, str(path), who, str(count)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def test_lines_are_added_and_read(tmp_path):
    path = tmp_path / "a.jsonl"
    assert append_line(path, b"one") == 0
    assert append_line(path, b"") == 0
    assert append_line(path, b"three") == 0
    assert read_lines(path).whole == (b"one", b"", b"three")
    assert read_lines(path).torn == 0


@pytest.mark.parametrize("torn", [b"thr", b"x" * 70_000, b"x" * 65_536])
@pytest.mark.parametrize("before", [b"", b"one\n", b"one\n" + b"y" * 65_535 + b"\n"])
def test_what_was_cut_off_is_left_out_and_then_taken_away(tmp_path, before, torn):
    path = tmp_path / "a.jsonl"
    path.write_bytes(before + torn)
    found = read_lines(path)
    assert found.whole == tuple(before.splitlines())
    assert found.torn == len(torn)
    assert append_line(path, b"next") == len(torn)
    assert path.read_bytes() == before + b"next\n"


def test_several_processes_add_at_once(tmp_path):
    path = tmp_path / "a.jsonl"
    running = [writer(path, who, 20) for who in "abc"]
    assert [each.wait(60) for each in running] == [0, 0, 0]
    found = [json.loads(line) for line in read_lines(path).whole]
    for who in "abc":
        assert [each["number"] for each in found if each["who"] == who] == list(range(20))
    for each in running:
        each.stdout.close()


def test_a_writer_that_is_killed_spoils_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    for after in (0.0, 0.01, 0.05):
        running = writer(path, "killed", 1_000_000)
        running.stdout.readline()
        time.sleep(after)
        running.send_signal(signal.SIGKILL)
        running.wait(10)
        running.stdout.close()
        append_line(path, json.dumps({"who": "later", "after": after}).encode())
    found = read_lines(path)
    assert found.torn == 0
    assert [each["after"] for each in map(json.loads, found.whole) if each["who"] == "later"] == [0.0, 0.01, 0.05]


def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(tmp_path):
    """By a limit on the size of files: https://man7.org/linux/man-pages/man2/getrlimit.2.html."""
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from resnas_deploy.errors import StorageError; from resnas_deploy.files.json_lines import append_line\n"
        "append_line(Path(sys.argv[1]), b'x' * 500)\n"
        "try: append_line(Path(sys.argv[1]), b'y' * 600)\n"
        "except StorageError as error: print(error)"
    )
    path = tmp_path / "a.jsonl"
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, timeout=60, check=True)
    assert "a.jsonl" in done.stdout
    assert path.read_bytes() == b"x" * 500 + b"\n"


def test_what_is_no_line_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    for line in (b"one\ntwo", b"x" * MOST_LINE):
        with pytest.raises(BadInput, match=r"a line of .* must be one of at most"):
            append_line(path, line)
    path.write_bytes(b"x" * (MOST_LINE + 10))
    with pytest.raises(BadInput, match="must have lines of at most"):
        read_lines(path)
    with pytest.raises(BadInput, match="must be a readable file, found: No such file"):
        read_lines(tmp_path / "none")


def test_where_nothing_can_be_added_is_told_before(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "must be a file's name"),
        (tmp_path / "pipe", "must be a file's name"),
        (tmp_path / "none" / "a.jsonl", "must lie in a folder that is there"),
    ):
        with pytest.raises(BadInput, match=f"^`history` {said}"):
            check_can_append(path, "history")
    check_can_append(tmp_path / "a.jsonl", "history")
    assert not (tmp_path / "a.jsonl").exists()
    with pytest.raises(BadInput, match="cannot be written"):
        append_line(tmp_path / "none" / "a.jsonl", b"x")
