"""The site: every page is in it, it builds without a warning, links leave docs/ rightly, and nothing is fetched."""

from __future__ import annotations

import inspect
import logging
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import reference
import site_hooks
import yaml
from support.api_functions import functions
from support.command_tree import COMMANDS
from support.places import ROOT

import resnas_deploy as resnas

DOCS = ROOT / "docs"


class _Loader(yaml.SafeLoader):
    """Of mkdocs.yml, whose one Python object is of no matter here."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def in_nav(items):
    for item in items:
        value = next(iter(item.values())) if isinstance(item, dict) else item
        if isinstance(value, str):
            yield value
        else:
            yield from in_nav(value)


def test_every_page_is_in_the_nav_once():
    nav = list(in_nav(yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)["nav"]))
    there = {site_hooks.API, *(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))}
    assert sorted(nav) == sorted(there), "a page of docs/ must be in mkdocs.yml"


class _Links(HTMLParser):
    """What a page fetches by itself, the anchors that it has, and those of its own that it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched, self.names, self.linked = [], set(), set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if "src" in found or (tag == "link" and found.get("rel") in ("stylesheet", "preconnect", "preload", "icon")):
            self.fetched.append(found.get("src") or found["href"])
        if name := found.get("id"):
            self.names.add(name)
        if tag == "a" and found.get("href", "").startswith("#"):
            self.linked.add(found["href"][1:])


def test_it_builds_strictly_and_fetches_nothing_from_elsewhere(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        links = _Links()
        links.feed(page.read_text())
        assert not [name for name in links.fetched if re.match(r"(https?:)?//", name)], page
        shown = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(), flags=re.DOTALL)
        left = [line for line in re.sub(r"<[^>]+>", "\n", shown).splitlines() if re.match(r"(- |\d\. |\|)", line)]
        assert not left, f"{page}: no list or table was made of this"
        assert not {name for name in links.linked - links.names if not name.startswith("__")}, page
    assert (tmp_path / "site" / "schemas" / "manifest.json").is_file()
    assert (tmp_path / "site" / "search" / "search_index.json").stat().st_size > 100_000
    commands = (tmp_path / "site" / "commands" / "index.html").read_text()
    assert "resnas latency profile" in commands
    assert "--fallback-minutes" in commands
    tradeoff = (tmp_path / "site" / "latency" / "index.html").read_text()
    assert f"{site_hooks.repository()}/blob/main/benchmarks/results/profile-cost.json" in tradeoff


def test_a_link_out_of_docs_is_one_into_the_repository(caplog):
    home = site_hooks.repository()
    for page, text, wanted in (
        ("gpu.md", "[yes](../tests/test_docs.py)", f"[yes]({home}/blob/main/tests/test_docs.py)"),
        ("tutorials/gate.md", "[a](../../examples/demo)", f"[a]({home}/tree/main/examples/demo)"),
        ("index.md", "[a](../README.md#limits)", f"[a]({home}/blob/main/README.md#limits)"),
        ("index.md", "[a](gpu.md#what)", "[a](gpu.md#what)"),
        ("tutorials/gate.md", "![a](../tradeoff.svg)", "![a](../tradeoff.svg)"),
        ("index.md", "[a](https://example.org/../x)", "[a](https://example.org/../x)"),
    ):
        assert site_hooks.abroad(text, page) == wanted
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        site_hooks.abroad("[a](../nothing.md)", "index.md")
        site_hooks.abroad("[a](../../../etc/passwd)", "index.md")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_list_is_one_on_the_site_too():
    text = "It has\n- one\n  more\n- two\n\nand\n```\na\n- b\n```\n1. first\n2. second\n"
    apart = "It has\n\n- one\n  more\n- two\n\nand\n```\na\n- b\n```\n\n1. first\n2. second\n"
    assert site_hooks.lists_apart(text) == apart
    assert site_hooks.lists_apart(apart) == apart


def test_the_reference_has_every_command_and_every_option():
    text = reference.command_reference()
    assert set(reference.all_commands()) == set(COMMANDS)
    for words, command in reference.all_commands().items():
        section = text.partition(f"### resnas {words}\n")[2].partition("\n### ")[0]
        for parameter in command.params:
            if parameter.opts[0].startswith("-") and not getattr(parameter, "hidden", False):
                assert f"`{parameter.opts[0]}" in section, f"{words} {parameter.opts[0]}"


def test_the_reference_has_every_function_and_every_parameter():
    text = reference.api_reference()
    wanted = {name for name, _ in functions()}
    assert {name for name, _ in reference.api_functions()} == wanted
    for name, function in reference.api_functions():
        section = text.partition(f"## resnas.{name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in inspect.signature(function).parameters.values():
            assert f"    {parameter.name}" in section, f"{name}: {parameter.name}"
    assert resnas.search in dict(reference.api_functions()).values()


@pytest.mark.parametrize("name", ["epochs", "masked", "crop"])
def test_a_recipes_keys_are_told_with_their_meaning(name):
    row = next(line for line in reference.recipe_keys().splitlines() if line.startswith(f"| `{name}` |"))
    assert len(row.split(" | ")) == 4 or name == "epochs"
