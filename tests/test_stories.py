"""Getting started and the tutorials: run as a reader would, in an empty folder; each prints what it says."""

from __future__ import annotations

import re

import pytest
from support.places import ROOT
from support.told import Step, pattern, steps, tell
from support.triton_server import needs_server

DOCS = ROOT / "docs"
STORIES = [DOCS / "getting-started.md", *sorted((DOCS / "tutorials").glob("*.md"))]


@pytest.mark.slow
@needs_server
@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.stem)
def test_it_goes_as_the_page_says(page, tmp_path):
    (tmp_path / "story").mkdir()
    tell(page, tmp_path / "story")


@pytest.mark.slow
def test_the_first_screen_of_the_readme_goes_as_it_says(tmp_path):
    """`resnas demo`, an export and a right prediction: what follows takes longer, and is in the tutorials."""
    readme = ROOT / "README.md"
    first = list(steps(readme.read_text()))[:3]
    assert [step.text.split()[1] for step in first] == ["demo", "export", "predict"]
    assert "bag (8)" in tell(readme, tmp_path, most=3)[-1]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


@pytest.mark.parametrize("page", STORIES, ids=lambda page: page.stem)
def test_it_is_a_story(page):
    found = list(steps(page.read_text()))
    assert sum(step.kind == "console" for step in found) >= 4
    assert sum(bool(step.printed) for step in found) >= 4


def test_what_is_read_of_a_page():
    text = """# A page
```console
$ resnas a \\
    b  # why
3 MB, in 2.0 s
..
$ echo $?
4
```
<!-- not run: it takes days -->
```console
$ resnas never
```
<!-- file: a/b.toml -->
```toml
x = 1
```
```python
print(1)
```
"""
    assert list(steps(text)) == [
        Step("console", "resnas a \\\n    b  # why", ("3 MB, in 2.0 s", "..")),
        Step("console", "echo $?", ("4",)),
        Step("file", "x = 1\n", name="a/b.toml"),
        Step("python", "print(1)\n"),
    ]


def test_what_is_compared():
    wanted = pattern(("top-1 78.70%, in 2 s", "..", "next: .. FILE"))
    assert re.fullmatch(wanted, "top-1  80%, in 1,234.5 s\nany\nthing\nnext: resnas x FILE\n")
    for other in (
        "top-5 78.70%, in 2 m\nnext: a FILE\n",
        "top-1 78.70%, in 2 s\nnext: a FILE\nmore\n",
        "top-1 many, in 2 s\nnext: a FILE\n",
        "first\ntop-1 78.70%, in 2 s\nnext: a FILE\n",
    ):
        assert not re.fullmatch(wanted, other)


def test_a_story_that_does_not_go_so_fails(tmp_path):
    page = tmp_path / "page.md"
    for text, why in (
        ("$ echo one\ntwo\n", "printed"),
        ("$ false\n$ echo one\n", "exit 1"),
        ("$ false\n", "the last command"),
        ("$ false\n$ echo $?\n3 words\n", "printed"),
    ):
        page.write_text(f"```console\n{text}```\n")
        with pytest.raises(AssertionError, match=why):
            tell(page, tmp_path)
    page.write_text("```console\n$ exit 4\n$ echo $?\n4\n$ echo on\non\n```\n")
    tell(page, tmp_path)
