"""What tests name in the package by a string, to patch it or to run it, is there: a stale name would patch nothing."""

from __future__ import annotations

import ast
import pkgutil
import re

import pytest
from support.places import PACKAGE, TESTS

_DOTTED = re.compile(r"resnas_deploy(?:\.[A-Za-z_]\w*)+\.?")


def dotted_names(text):
    """Whole strings of a source that are dotted names, and the beginnings of formatted ones."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            yield node.value.rstrip(".")


def test_every_dotted_name_is_there():
    for path in sorted(TESTS.rglob("*.py")):
        for name in dotted_names(path.read_text()):
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError) as error:
                raise AssertionError(f"{path.relative_to(TESTS)} names {name}: {error}") from error


def test_a_stale_one_would_be_seen():
    named = f"{PACKAGE.name}.batch"
    found = list(dotted_names(f'f("{named}.gone", f"{named}.{{x}}", "{named} is")'))
    assert found == [f"{named}.gone", named]
    pkgutil.resolve_name(named)
    with pytest.raises(AttributeError):
        pkgutil.resolve_name(f"{named}.gone")
