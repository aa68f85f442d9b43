"""Messages of the library name parameters and functions; the command line shows its own words in their places."""

from __future__ import annotations

import ast
import re
import shlex

import pytest
from support.command_tree import COMMANDS, OPTIONS
from support.places import PACKAGE

from resnas_deploy.cli.words import spoken
from resnas_deploy.errors import called

# Flags of other programs that the package calls, or tells how to call.
FLAGS_OF_OTHERS = {
    "api/deploy_actions.py": {"--model", "--seconds", "--p99", "--json"},  # resnas, of another environment
    "runners/devices.py": {"--force-reinstall"},  # pip
    "serving/server/access.py": {
        "--grpc-restricted-protocol",
        "--http-restricted-api",
    },  # tritonserver
    "serving/server/installed.py": {"--backend-directory", "--cache-directory"},
    "serving/server/server.py": {
        "--backend-config",
        "--cache-config",
        "--disable-auto-complete-config",
        "--exit-timeout-secs",
        "--grpc-address",
        "--http-address",
        "--metrics-address",
        "--model-control-mode",
        "--model-repository",
        "--repository-poll-secs",
    },
    "surveying/gpu_tests.py": {"--tb"},  # pytest
}
NO_WORDS = {
    "`logits`",  # the graph's output, in manifests
    "`max_latency_ms`",  # of Python alone
}
# Arguments have no dashes: what they are called in the usage line.
ARGUMENTS = {"ARTIFACT", "ARTIFACT..", "CHECKPOINT|ARTIFACT..", "IMAGES.."}

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]")
COMMAND = re.compile(r"\bresnas ([a-z]+)")
QUOTED = re.compile(r"`[a-z][a-z0-9_.]*(?:\([^`]*\))?`")


def texts(path):
    """The strings of a file that are no docstrings; where a value is put in, there is a null character."""
    tree = ast.parse(path.read_text())
    inside = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            inside.add(id(node.body[0].value))
    for node in ast.walk(tree):  # from the outside to the inside
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


LIBRARY = {
    path.relative_to(PACKAGE).as_posix(): list(texts(path))
    for path in sorted(PACKAGE.rglob("*.py"))
    if "cli" not in path.relative_to(PACKAGE).parts
}
MESSAGES = [(f"{name}:{line}", text) for name, found in LIBRARY.items() for line, text in found]
WORDS = sorted({word for _, text in MESSAGES for word in QUOTED.findall(text)} - NO_WORDS)


def test_the_library_names_no_flag_of_ours():
    found = {(name, flag) for name, texts in LIBRARY.items() for _, text in texts for flag in FLAG.findall(text)}
    assert found == {(name, flag) for name, flags in FLAGS_OF_OTHERS.items() for flag in flags}


def test_the_library_names_no_command():
    known = {words.split()[0] for words in COMMANDS}
    assert [where for where, text in MESSAGES for word in COMMAND.findall(text) if word in known] == []


@pytest.mark.parametrize("word", WORDS)
def test_each_word_becomes_an_option_or_a_command_that_there_is(word):
    shown = spoken(re.sub(r"\0", "0", word))
    if shown.startswith("resnas "):
        name = shown.removeprefix("resnas ").partition(" --")[0].removesuffix(" NAME")
        assert name in COMMANDS
        assert set(FLAG.findall(shown)) <= OPTIONS
    else:
        assert shown in OPTIONS | ARGUMENTS


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("`max_latency` must be a time", "--max-latency must be a time"),
        ("make it by `triton.export()` or `bench()`", "make it by resnas triton export or resnas bench"),
        ("see `profile()`", "see resnas latency profile"),
        ("`images` must be there", "IMAGES.. must be there"),
        ("a `Mixed Case` or `two words` stays", "a `Mixed Case` or `two words` stays"),
        ("run: `latency.check(space='small', batch=8)`", "run: resnas latency check --space small --batch 8"),
        ("`bench(artifacts='..', runs=9)`", "resnas bench ARTIFACT.. --runs 9"),
        ("`bench(artifacts='a b', runs=9)`", "resnas bench 'a b' --runs 9"),
        ("run: `latency.check(space='sm ..", "run: `latency.check(space='sm .."),  # what was shortened
        ("run: `latency.check(space=x)`", "run: `latency.check(space=x)`"),
    ],
)
def test_a_message_names_options_and_commands(message, said):
    assert spoken(message) == said


@pytest.mark.parametrize(
    "value", ["a folder/it's.sqlite", 'quoted "twice"', "$HOME; ls", "back\\slash", "plain", 0.5, 3]
)
def test_a_call_is_a_command_that_a_shell_takes(value):
    words = shlex.split(spoken(called("bench", store=value, max_drop=2, force=True)))
    assert words == ["resnas", "bench", "--store", str(value), "--max-drop", "2", "--force"]
