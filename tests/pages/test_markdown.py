"""Markdown in which no name does anything but be read."""

from __future__ import annotations

import pytest

from resnas_deploy.pages import markdown
from resnas_deploy.pages.table import Table


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("small fp32", "`small fp32`"),
        ("a|b", "`a¦b`"),
        ("`@somebody` <b>", "`'@somebody' <b>`"),
        ("two\nlines\x1b[31m", "`two lines?[31m`"),
        ("x" * 200, f"`{'x' * 117}...`"),
        ("", ""),
    ],
)
def test_a_name_is_a_code_span(text, shown):
    assert markdown.code(text) == shown


def test_a_table_has_a_line_a_row_and_says_what_it_leaves_out():
    rows = [("a|b", "1.0"), ("<img src=x>", "-"), ("third", "2.0")]
    assert markdown.table(Table("title", ("what", "ms"), rows), 2).splitlines() == [
        "| what | ms |",
        "| --- | --: |",
        "| `a¦b` | 1.0 |",
        "| `<img src=x>` | - |",
        "",
        "and 1 more",
    ]
    assert "more" not in markdown.table(Table("title", ("what", "ms"), rows), 3)
