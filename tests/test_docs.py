"""The documentation's tables are those of the result files, and the commands, options and links in it exist."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import shlex
from functools import cache

import pages
import pytest
import typer
from support.places import ROOT
from tables import TRACED
from tabulated import result

import resnas_deploy as resnas
from resnas_deploy.artifact.headroom import MARGIN
from resnas_deploy.precision import tolerance_of

PAGES = pages.pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_MARK = re.compile(r"<!-- (?:table|figure): (\S+) -->")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_tables_are_up_to_date(page):
    text = page.read_text()
    assert pages.written(text) == text, f"{page.name} has tables that are not those of benchmarks/results; make docs"


def test_every_table_is_on_a_page_and_whole():
    texts = [page.read_text() for page in PAGES]
    assert {name for text in texts for name in _MARK.findall(text)} == {*pages.TABLES, *pages.FIGURES}
    for text in texts:
        assert len(_MARK.findall(text)) == text.count("<!-- end -->") == len(pages._BLOCK.findall(text))


@pytest.mark.parametrize("picture", pages.PICTURES, ids=lambda path: path.name)
def test_the_picture_is_of_the_results(picture):
    assert picture.read_text() == pages.PICTURES[picture](), f"{picture.name} is another's; make docs"


def test_a_changed_figure_would_be_seen():
    text = (ROOT / "docs" / "lab-notes.md").read_text()
    changed = re.sub(r"(\| structure \(chosen\) \| )[\d.]+", r"\g<1>0.01", text)
    assert changed != text
    assert pages.written(changed) == text


def test_what_was_measured_keeps_what_the_docs_promise():
    for row in result("own-arithmetic")["networks"].values():
        for precision in ("fp16", "bf16", "int8", "fp8"):
            assert row[precision]["error"] <= tolerance_of(precision)
            assert row[precision]["share"] <= MARGIN / 100
    for counts in result("kernel-counts")["networks"].values():
        assert counts["packed+grid"]["kernels"] < min(counts[name]["kernels"] for name in TRACED)
        for found in counts.values():
            assert found["by_element"]["reduction1"] == found["by_element"]["reduction2"]
    rolling = result("serving")["rolling"]
    assert (rolling["failed"], rolling["wrong"]) == (0, 0)


@cache
def commands():
    from resnas_deploy.cli.app import app

    return typer.main.get_command(app)


def of_ours(words):
    """The command that an argument list names, without its options and arguments."""
    found = commands()
    for word in words:
        if word not in getattr(found, "commands", ()):
            break
        found = found.commands[word]
    return found


def test_every_command_named_exists():
    for page in (*PAGES, ROOT / "CHANGELOG.md"):
        for command in re.findall(r"resnas ([a-z][a-z-]*[a-z])\b", page.read_text()):
            assert command in commands().commands, f"{page.name} names resnas {command}"


def examples(text):
    """The argument lists of ours in the blocks that show a terminal."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                for part in re.split(r"&&|\|", line.removeprefix("$ ")):
                    words = shlex.split(part, comments=True)
                    if words and words[0].rpartition("/")[2] == "resnas":
                        yield words[1:]


def test_every_example_has_options_that_exist():
    seen = 0
    for page in PAGES:
        for words in examples(page.read_text()):
            command = of_ours(words)
            assert not hasattr(command, "commands") or words[0].startswith("-"), f"{page.name}: {words}"
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            for word in words:
                if word.startswith("--"):
                    assert word.partition("=")[0] in known, f"{page.name}: {' '.join(words)}"
                    seen += 1
    assert seen > 50


def test_the_readmes_python_runs_as_written(tmp_path, monkeypatch, capsys, small_reference, cache_home):
    code, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert "import resnas_deploy as resnas" in code
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    exec(compile(code, "README.md", "exec"), {})
    first, verdict = capsys.readouterr().out.splitlines()
    assert "bag" in first
    assert verdict in ("faster", "slower", "cannot tell")
    assert {"clothes", "clothes-int8", "latency.html"} <= {path.name for path in tmp_path.iterdir()}


def anchors(page):
    """The names that GitHub gives to a page's headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            if target.startswith("https://"):
                continue
            name, _, anchor = target.partition("#")
            place = page.parent / name if name else page
            assert place.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(place), f"{page.name} links to {target}"


def test_files_named_are_there():
    ours = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for page in PAGES:
        text = page.read_text()
        for name in re.findall(r"`((?:tests|benchmarks|resnas_deploy|examples|deploy|docs)/[\w/.-]*)`", text):
            assert "NAME" in name or (ROOT / name).exists(), f"{page.name} names {name}"  # a reader fills it in
        for name in re.findall(r"`(test_\w+\.py)`", text):  # after one with its folder
            assert name in ours, f"{page.name} names {name}"


def calls(code):
    """The calls of the API in a program, each with the name that `resnas.` stands before."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and re.fullmatch(r"resnas(\.\w+)+", name := ast.unparse(node.func)):
            yield name.removeprefix("resnas."), node


def test_every_call_of_the_api_is_one_that_can_be():
    """Of all pages. Those that are run besides are docs/python.md, getting started and the tutorials."""
    seen = 0
    for page in PAGES:
        for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            for name, node in calls(code):
                found = functools.reduce(getattr, name.split("."), resnas)
                if inspect.isclass(found) or any(keyword.arg is None for keyword in node.keywords):
                    continue
                inspect.signature(found).bind(*node.args, **{item.arg: item.value for item in node.keywords})
                seen += 1
    assert seen > 40
