"""`make help` lists every target, in columns; and each Python but the usual one has an environment of its own."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from support.places import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
PHONY = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not here")


def make(*arguments):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_help_lists_every_target_with_its_minutes_and_gigabytes():
    head, *lines = make("help").splitlines()
    assert [line.split()[0] for line in lines] == PHONY
    for line in lines:
        assert re.fullmatch(r"\S+ +(\d+|-) +(\d+\.\d|-)  \S.*", line), line
        assert len(line) <= 100
    assert {line.index(line.split(maxsplit=3)[3]) for line in lines} == {head.index("GB") + 4}


def test_what_is_no_file_is_phony():
    rules = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
    assert rules == set(PHONY)


def test_another_python_has_its_own_environment():
    assert ".venv/bin/ruff" in make("-n", "lint", "PYTHON=/usr/bin/python3", "-o", ".venv/.ready")
    other = make("-n", "lint", "PYTHON=python3.13")
    assert "python3.13 locks/install.py .venv-python3.13" in other
    assert ".venv-python3.13/bin/mypy" in other
