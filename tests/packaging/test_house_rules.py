"""Files for people who come to the project: valid where they have a form, and true where they name something."""

from __future__ import annotations

import re
import tomllib

import pytest
from jsonschema.validators import validator_for
from ruamel.yaml import YAML
from support.places import ROOT

from resnas_deploy.version import __version__

HOME = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Homepage"]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
KINDS = {
    ROOT / "CITATION.cff": "vendor.citation-file-format",
    ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml": "vendor.github-issue-config",
    **dict.fromkeys(FORMS, "vendor.github-issue-forms"),
}
PAGES = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


def read(path):
    return YAML(typ="safe").load(path.read_text())


@pytest.mark.parametrize("path", KINDS, ids=lambda path: path.name)
def test_each_has_the_form_that_its_reader_wants(path):
    """By the schemas that check-jsonschema brings."""
    from check_jsonschema.builtin_schemas import get_builtin_schema

    schema = get_builtin_schema(KINDS[path])
    validator = validator_for(schema)(schema)
    document = read(path)
    if path.suffix == ".cff":
        document = {name: str(value) if name == "version" else value for name, value in document.items()}
    assert [error.message for error in validator.iter_errors(document)] == []
    assert not validator.is_valid(document | {"nonsense": 1})


def test_the_citation_is_of_this_version_and_of_the_paper():
    citation = read(ROOT / "CITATION.cff")
    assert str(citation["version"]) == __version__
    assert citation["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    (paper,) = citation["references"]
    assert paper["url"].rpartition("/")[2] in (ROOT / "README.md").read_text()


def test_there_is_a_form_for_each_reason():
    assert {path.stem for path in FORMS} == {"bug", "feature", "gpu-report"}


def test_hooks_run_what_lint_runs():
    """In the environment of make, so that nothing is fetched."""
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    rule = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    lint = [line.strip().replace("$(BIN)", ".venv/bin") for line in rule.splitlines()]
    assert [hook["entry"] for hook in repository["hooks"]] == lint
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert re.search("^test: lint", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_pre_commit_takes_the_file():
    from pre_commit.clientlib import load_config

    assert load_config(str(ROOT / ".pre-commit-config.yaml"))["repos"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_the_pages_name_is_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith(HOME) if "://" in target else (ROOT / target).exists(), target
    for name in re.findall(r"`((?:tests|locks|docs|benchmarks|resnas_deploy|\.github)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"(?:`|^)make ([a-z][a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_security_says_of_each_kind_whether_it_is_trusted():
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", (ROOT / "SECURITY.md").read_text(), re.MULTILINE)[1:]
    assert len(rows) == 9
    assert all(re.match(r"\*\*(yes|no)\*\*|only|by ", trusted) for _, trusted, _ in rows)


@pytest.mark.parametrize("path", [*KINDS, *PAGES], ids=lambda path: path.name)
def test_links_into_the_repository_are_of_the_one_project(path):
    for link in re.findall(r"https://github\.com/[\w./-]+", path.read_text()):
        assert link.startswith(HOME), link
