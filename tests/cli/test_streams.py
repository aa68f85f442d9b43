"""Terminals that are narrow, readers that go away, streams that are closed or full."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.cli.output import print_table

RESNAS = Path(sys.executable).with_name("resnas")
COMMANDS = (["archs"], ["archs", "small"], ["--help"], ["bench", "--help"], ["--version"])


def environment(**more):
    plain = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "FORCE_COLOR")}
    return plain | more


def on_a_terminal(columns, *arguments, **more):
    """What a command shows on a terminal of so many columns, without what the terminal itself reads."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [RESNAS, *map(str, arguments)]
    with subprocess.Popen(command, stdin=there, stdout=there, stderr=there, env=environment(**more)) as process:
        os.close(there)
        shown = b""
        while True:
            try:
                part = os.read(here, 65536)
            except OSError:  # as Linux says that nobody writes any more
                break
            if not part:
                break
            shown += part
    os.close(here)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r\n", "\n")


def words(text):
    """All that is no space: what is left when lines are broken anywhere."""
    return re.sub(r"[\s─│╭╮╰╯]", "", text)


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_no_figure_is_lost_or_broken_on_any_terminal(columns):
    shown = on_a_terminal(columns, "archs")
    piped = subprocess.run([RESNAS, "archs"], env=environment(), capture_output=True, text=True, timeout=60).stdout
    for line in piped.splitlines()[2:]:
        for cell in re.split(r"\s{2,}", line.strip()):
            assert re.search(rf"(^|\s){re.escape(cell)}($|\s)", shown), cell
    assert "…" not in shown


def test_the_cells_of_a_narrow_table_have_their_names():
    shown = on_a_terminal(20, "archs")
    (name, *_) = PUBLISHED
    assert f"name: {name}\n" in shown
    assert "GMACs: 1.783\n" in shown


@pytest.mark.parametrize("arguments", [["runners"], ["export", "--help"], ["triton", "--help"], ["--help"]])
def test_no_word_is_lost_at_20_columns(arguments):
    """Against the same on a wide terminal."""
    shown = words(on_a_terminal(20, *arguments))
    wide = on_a_terminal(400, *arguments)
    for word in re.findall(r"--[a-z][a-z-]+|[a-z]{6,}", wide):
        assert word in shown, word
    assert "…" not in shown


def test_a_table_for_a_program_is_never_broken():
    for more in ({"COLUMNS": "20"}, {"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "COLUMNS": "20"}):
        done = subprocess.run([RESNAS, "archs"], env=environment(**more), capture_output=True, text=True, timeout=60)
        lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
        assert len(lines) == 2 + len(PUBLISHED)
        assert done.stderr == ""


def test_progress_is_for_terminals_alone(tiny, tmp_path):
    """Whatever a build server says of colours."""
    for more in ({"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}):
        command = [RESNAS, "export", "--arch", tiny, "--unverified", "--force", "--out", "out"]
        done = subprocess.run(command, cwd=tmp_path, env=environment(**more), capture_output=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_reader_that_takes_one_line(arguments):
    reader = subprocess.run(
        ["bash", "-c", '"$0" "$@" 2>&1 | head -1 >/dev/null; echo ${PIPESTATUS[0]}', RESNAS, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert reader.stdout.strip() in ("0", "141")
    assert reader.stderr == ""


@pytest.mark.parametrize("arguments", [["archs"], ["--help"]], ids=" ".join)  # what rich prints, and what typer does
@pytest.mark.parametrize(
    ("closed", "code"),
    [(">&-", "0"), ("2>&-", "0"), ("<&-", "0"), ("<&- >&- 2>&-", "0"), (">/dev/full", "2"), (">/dev/full 2>&1", "2")],
)
def test_streams_that_cannot_be_used(arguments, closed, code):
    script = f'"$0" "$@" {closed}; echo "code $?" >&3'
    done = subprocess.run(
        ["bash", "-c", f"exec 3>&1; {script}", RESNAS, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"code {code}\n" in done.stdout
    said = "resnas: the output cannot be read or written: No space left on device\n"
    assert done.stderr == (said if closed == ">/dev/full" else "")


def test_a_complaint_that_nobody_hears_keeps_its_code():
    for closed in ("2>&-", "2>/dev/full", "2>&1 | true; exit ${PIPESTATUS[0]}"):
        done = subprocess.run(["bash", "-c", f'"$0" inspect nothing {closed}', RESNAS], capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (2, b"")


def test_files_do_not_get_what_is_printed(tiny, tmp_path):
    """With stdout closed, the first file that is opened would have its number."""
    command = f'"{RESNAS}" export --arch {tiny} --unverified --out out >&- 2>&-'
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment(), timeout=120).returncode == 0
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest
    assert subprocess.run([RESNAS, "inspect", "out"], cwd=tmp_path, capture_output=True, timeout=60).returncode == 0


def test_a_table_of_no_rows(capsys):
    print_table("Nothing", ("a", "b"), ())
    assert capsys.readouterr().out.split() == ["Nothing", "a", "b"]
