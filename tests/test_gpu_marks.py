"""Tests that need a GPU are skipped where there is none, and do not fail."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
ALONE = "pytest.mark.gpu"
GUARDS = ("skipif", "NO_GPU")  # of which the second is a name for the first


def test_each_is_skipped_without_one():
    marked = {
        f"{path.relative_to(TESTS)}:{mark.lineno}": text
        for path in sorted(TESTS.rglob("test_*.py"))
        if ALONE in path.read_text("utf-8")
        for mark, text in _marks(path)
    }
    assert len(marked) > 10
    assert [where for where, text in marked.items() if not any(guard in text for guard in GUARDS)] == []


def _marks(path):
    """Each statement with that mark, and the text of all marks that stand with it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            text = " ".join(map(ast.unparse, node.decorator_list))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            text = ast.unparse(node)
        else:
            continue
        if ALONE in text:
            yield node, text
