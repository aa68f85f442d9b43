"""Workflow files and the action: by GitHub's schemas, by zizmor's audits, and with every action pinned."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema.validators import validator_for
from support.places import ROOT
from support.workflow_files import ACTION, ALL, WORKFLOWS, steps

NAMES = [str(path.relative_to(ROOT)) for path in ALL]
_PINNED = re.compile(r"uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<hash>[0-9a-f]{40}) # (?P<version>v\d[\w.]*)")
_IMAGE = re.compile(r"uses: docker://[\w./-]+:[\w.]+@sha256:[0-9a-f]{64}")
_OURS = re.compile(r"uses: \./[\w/-]+")  # of this very commit


def tool(name):
    return str(Path(sys.executable).with_name(name))


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("path", ALL, ids=NAMES)
def test_the_schemas_of_github(path):
    """Those of SchemaStore that check-jsonschema brings. YAML 1.2, to which `on` is a text, as it is to GitHub."""
    from check_jsonschema.builtin_schemas import get_builtin_schema
    from ruamel.yaml import YAML

    schema = get_builtin_schema("vendor.github-actions" if path == ACTION else "vendor.github-workflows")
    valid = validator_for(schema)(schema).is_valid
    assert valid(YAML(typ="safe").load(path.read_text()))
    wrong = path.read_text().replace("runs-on:", "run-on:").replace("using:", "use:")
    assert not valid(YAML(typ="safe").load(wrong))


def test_the_audits_of_zizmor(tmp_path):
    """Injection by templates, tokens that are left behind, what is not pinned, rights that are not needed."""
    words = (tool("zizmor"), "--offline", "--no-progress", "--color=never")
    code, said = run(*words, *map(str, ALL))
    assert code == 0, said
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "wrong.yml").write_text(WORKFLOWS[0].read_text() + "      - run: echo ${{ github.head_ref }}\n")
    code, said = run(*words, str(folder / "wrong.yml"))
    assert code != 0
    assert "template-injection" in said


@pytest.mark.parametrize("path", ALL, ids=NAMES)
def test_every_action_is_pinned_by_commit_with_its_version(path):
    lines = [line.removeprefix("- ") for line in map(str.strip, path.read_text().splitlines())]
    lines = [line for line in lines if line.startswith("uses:")]
    assert len(lines) == sum("uses" in step for step in steps(path))
    for line in lines:
        assert any(form.fullmatch(line) for form in (_PINNED, _IMAGE, _OURS)), line


def test_one_version_of_an_action_everywhere():
    found = {}
    for path in ALL:
        for match in _PINNED.finditer(path.read_text()):
            found.setdefault(match["action"], set()).add((match["hash"], match["version"].strip()))
    assert "actions/checkout" in found
    assert {action: pins for action, pins in found.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("path", ALL, ids=NAMES)
def test_nothing_that_people_give_is_text_of_a_command(path):
    """https://docs.github.com/en/actions/reference/security/secure-use: an environment variable in between."""
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step
        assert "pull_request_target" not in path.read_text()


def test_what_the_action_names_is_there():
    for step in steps(ACTION):
        for name in re.findall(r"\$GITHUB_ACTION_PATH/([\w./-]+)", step.get("run", "")):
            assert (ACTION.parent / name).exists(), name
    assert os.access(ACTION.parent / ".." / "pyproject.toml", os.R_OK)


def test_the_documentation_has_every_input_and_output():
    import yaml

    action = yaml.safe_load(ACTION.read_text())
    text = (ROOT / "docs" / "ci.md").read_text()
    for name in (*action["inputs"], *action["outputs"]):
        assert f"`{name}`" in text, name


def blocks(language):
    text = (ROOT / "docs" / "ci.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_what_is_shown_for_gitlab_is_by_its_schema():
    """The schema that GitLab keeps itself, which check-jsonschema brings."""
    from check_jsonschema.builtin_schemas import get_builtin_schema
    from ruamel.yaml import YAML

    schema = get_builtin_schema("vendor.gitlab-ci")
    valid = validator_for(schema)(schema).is_valid
    (block,) = blocks("yaml")
    assert valid(YAML(typ="safe").load(block))
    assert not valid(YAML(typ="safe").load(block.replace("script:", "scripts:")))


def test_the_commands_of_other_cis_have_options_that_exist():
    import typer

    from resnas_deploy.cli.app import app

    commands = typer.main.get_command(app).commands
    lines = [
        line for block in (*blocks("yaml"), *blocks("groovy")) for line in re.findall(r"bin/resnas ([^'\n]*)", block)
    ]
    assert len(lines) == 4
    for line in lines:
        name, *words = shlex.split(line)
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line


def test_what_is_shown_makes_the_folders_that_it_writes_to():
    seen = 0
    for block in (*blocks("console"), *blocks("yaml"), *blocks("groovy")):
        for found in re.finditer(r"--(?:history|out) ([\w~/-]+)/[\w-]+\.jsonl?\b", block):
            assert f"mkdir -p {found[1]}" in block[: found.start()], found[0]
            seen += 1
    assert seen == 4


def test_a_node_of_jenkins_keeps_its_workspace_where_the_second_run_replaces_the_files_of_the_first():
    (block,) = blocks("groovy")
    for line in re.findall(r"bin/resnas (.*)", block):
        assert "--force" in line
