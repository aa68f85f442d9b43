"""Narrow terminals, and those that know no UTF-8, no codes, or no colours: everything fits and can be read."""

from __future__ import annotations

import re

import pytest
from support.command_tree import COMMANDS
from support.terminal import CODE, on_a_terminal

from resnas_deploy.cli.plain import knows_ascii_alone

# Each line of the input is a command; all run in one process, as typing them would.
MANY = """
import shlex, sys
from resnas_deploy.cli import app
for line in sys.argv[1].splitlines():
    sys.argv = ["resnas", *shlex.split(line)]
    print(f"<{line}: {app.run()}>")
"""
CHEAP = (
    "archs",
    "runners",
    "inspect tiny.json",
    "inspect {artifact}",
    "space list",
    "space show demo",
    "space check demo",
    "latency machines",
    "verify none",
    "export --archi small",
    "bench none --runs 1000000000000",
)


def words_too_long(line, columns):
    """Whether a line is longer than the terminal for a word of it that cannot be broken, such as a path."""
    indent = len(line) - len(line.lstrip())
    return any(indent + len(word) > columns - 20 for word in line.split())


@pytest.mark.parametrize("columns", [60, 40])
def test_the_help_of_every_command_fits(resnas, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in ("", *COMMANDS):
        for line in resnas(*command.split(), "--help").out.splitlines():
            if not line.strip().startswith("$ "):  # which is there to be copied, as one line
                fits = len(line) <= columns or re.fullmatch(r"  (--\S+ )?\S+", line)  # an option's own name
                assert fits, (command, line)


def many(tmp_path, commands, columns, **environment):
    return on_a_terminal("\n".join(commands), columns=columns, cwd=tmp_path, script=("-c", MANY), **environment)


@pytest.mark.parametrize("columns", [60, pytest.param(40, marks=pytest.mark.slow)])
def test_what_is_printed_fits_or_is_a_line_for_the_terminal_to_break(
    tmp_path, tiny, mini_artifact, columns, cache_home
):
    """Text of our own is broken between words by the terminal alone: tables are cells, and never cut."""
    commands = [command.format(artifact=mini_artifact) for command in CHEAP]
    seen = many(tmp_path, commands, columns, XDG_CACHE_HOME=str(cache_home))
    said = "\n".join(seen.lines)
    assert [f"<{command}: " in said for command in commands] == [True] * len(commands)
    assert "Traceback" not in said
    tables = [line for line in seen.lines if re.search(r"\S {2,}\S", line)]
    assert [line for line in tables if len(line) > columns] == []


def test_a_terminal_without_utf_8_gets_ascii_alone(tmp_path, tiny):
    seen = many(
        tmp_path, ["archs", "archs --help", "bench --help", "inspect Käfer.json"], 100, LANG="C", PYTHONUTF8="1"
    )
    assert "+-" in "\n".join(seen.lines)  # of the boxes, and for the sign of a deviation
    assert all(byte < 128 for byte in seen.sent)
    assert "\\xe4" in "\n".join(seen.lines)


@pytest.mark.parametrize(
    ("environment", "ascii_alone"),
    [
        ({"LC_ALL": "C"}, True),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # the second is Python's
        ({"LANG": "C"}, True),
        ({}, False),  # as in containers
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "de_DE.UTF-8", "LANG": "C"}, False),
        ({"LC_CTYPE": "de_DE.UTF-8", "LANG": "C"}, False),
    ],
)
def test_which_locales_have_ascii_alone(environment, ascii_alone):
    assert knows_ascii_alone(environment) is ascii_alone


COLOUR = re.compile(rb"\x1b\[[0-9;]*(3[0-9]|9[0-7])m")


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"CLICOLOR": "0"}, False),
        pytest.param({"TERM": "dumb"}, False, marks=pytest.mark.slow),
    ],
)
def test_colours(environment, coloured):
    seen = on_a_terminal("--help", columns=80, **environment)
    assert bool(COLOUR.search(seen.sent)) == coloured


@pytest.mark.parametrize(
    ("environment", "codes"),
    [
        ({"GITHUB_ACTIONS": "true"}, False),
        pytest.param({}, False, marks=pytest.mark.slow),
        ({"CLICOLOR_FORCE": "1"}, True),
    ],
)
def test_codes_in_a_pipe(environment, codes):
    assert bool(CODE.search(on_a_terminal("--help", columns=80, pipe=True, **environment).out)) == codes
