"""docs/troubleshooting.md quotes messages that the code has, by the names that the command line gives them."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest
from support.places import PACKAGE, ROOT

from resnas_deploy.cli.words import spoken

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
QUOTED = re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)
_ANY = "\0"  # in place of what a message is filled with


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return _ANY


@cache
def messages() -> frozenset[str]:
    """Every text of the package, as the command line would say it."""
    return frozenset(
        spoken(_text(node))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    )


def is_said(quoted: str) -> bool:
    """Whether a text of the package is the one that is quoted: `..` stands for any, and so does what fills it."""
    wanted = r".*".join(re.escape(part.strip()).replace(r"\ ", rf"[ {_ANY}]+") for part in quoted.split(".."))
    return any(re.search(wanted, found, re.DOTALL) for found in messages())


def test_there_are_some():
    assert len(QUOTED) >= 15


@pytest.mark.parametrize("quoted", QUOTED)
def test_each_message_is_the_codes(quoted):
    assert is_said(quoted), f"nothing in the package says: {quoted}"


def test_what_nobody_says_is_noticed():
    assert not is_said("the artifact must be a teapot, found ..")
    assert not is_said("the graph must compute what the module computes, expected ..")
