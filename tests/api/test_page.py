"""`docs/python.md`: its blocks run as they stand, every function is shown, and every call of it is one that can be."""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys

import pytest
from support.api_functions import functions
from support.places import ROOT
from support.small_data import write_folder

import resnas_deploy as resnas

PAGE = (ROOT / "docs" / "python.md").read_text()
BLOCK = re.compile(r"(<!-- not run: [^\n]+ -->\n)?```python\n(.*?)```", re.DOTALL)
BLOCKS = [(bool(match[1]), match[2]) for match in BLOCK.finditer(PAGE)]


def called(node: ast.Call) -> str:
    """The name that a call begins with `resnas.`, or nothing."""
    words, func = [], node.func
    while isinstance(func, ast.Attribute):
        words.append(func.attr)
        func = func.value
    return ".".join(reversed(words)) if isinstance(func, ast.Name) and func.id == "resnas" else ""


CALLS = [
    (name, node)
    for _, block in BLOCKS
    for node in ast.walk(ast.parse(block))
    if isinstance(node, ast.Call) and (name := called(node))
]


def named(name: str) -> object:
    found: object = resnas
    for word in name.split("."):
        found = getattr(found, word)
    return found


def test_every_function_is_shown():
    shown = {inspect.unwrap(named(name)) for name, _ in CALLS}
    assert [name for name, function in functions() if inspect.unwrap(function) not in shown] == []


@pytest.mark.parametrize(("name", "node"), CALLS, ids=[name for name, _ in CALLS])
def test_each_call_is_one_that_can_be(name, node):
    inspect.signature(named(name)).bind(*node.args, **{item.arg: item.value for item in node.keywords if item.arg})


@pytest.mark.slow
def test_the_page_runs_as_it_stands(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    write_folder(tmp_path / "images", train=32, val=16)
    program = "\n".join(block for not_run, block in BLOCKS if not not_run)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # else PyTorch's threads wait for each other beside other tests
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert "`align` must be one of 1, 8" in done.stdout
    assert (tmp_path / "tuned" / "checkpoint.safetensors").is_file()
