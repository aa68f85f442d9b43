"""Help that can be read, and usage errors that are one line."""

from __future__ import annotations

import re

import pytest

from resnas_deploy.cli.app import app
from resnas_deploy.version import __version__

COMMANDS = (
    "archs",
    "demo",
    "runners",
    "import",
    "inspect",
    "export",
    "build",
    "refit",
    "kernels",
    "verify",
    "predict",
    "evaluate",
    "bench",
    "compare",
    "gate",
    "history",
    "tradeoff",
    "gpu-report",
    "search",
    "search measure",
    "search finish",
    "card",
    "sign",
    "deploy",
)
SUBCOMMANDS = {
    "space": ("list", "show", "check", "shape", "evolve"),
    "latency": ("profile", "predict", "check", "machines", "pack", "unpack"),
    "train": ("supernet", "subnet", "finetune", "status"),
    "triton": ("export", "check", "serve", "load"),
}
ALL = [*COMMANDS, *(f"{group} {command}" for group, commands in SUBCOMMANDS.items() for command in commands)]
WIDTH = 80


def commands_of(typer):
    return tuple(command.name or command.callback.__name__ for command in typer.registered_commands)


def test_every_command_is_tested_here():
    assert commands_of(app) == COMMANDS
    groups = [group.typer_instance for group in app.registered_groups]
    assert {group.info.name: commands_of(group) for group in groups} == SUBCOMMANDS


def test_the_help_has_every_command(resnas):
    text = resnas("--help").out
    for command in (*COMMANDS, *SUBCOMMANDS):
        assert re.search(rf"^│ {command} +\w", text, re.MULTILINE), command
    assert "Start with: resnas demo   or: resnas export --arch small" in text
    codes = "Exit codes: 0 done; 2 bad input or usage; 3 verification failed; 4 slower than the baseline; 5 something"
    assert codes in " ".join(text.split())


def test_no_command_is_the_help(resnas):
    done = resnas(code=2)
    assert "Usage: resnas" in done.out
    assert done.err == ""


@pytest.mark.parametrize("group", SUBCOMMANDS)
def test_the_help_of_a_group_has_its_commands_and_where_to_start(resnas, group):
    text = resnas(group, "--help").out
    for command in SUBCOMMANDS[group]:
        assert re.search(rf"^│ {command} +\w", text, re.MULTILINE), command
    assert f"Start with: resnas {group} {SUBCOMMANDS[group][0]}" in text
    assert "Usage: resnas" in resnas(group, code=2).out


@pytest.mark.parametrize("command", ALL)
def test_the_help_of_a_command_fits_and_is_complete(resnas, command):
    done = resnas(*command.split(), "--help")
    assert done.err == ""
    assert f"Usage: resnas {command}" in done.out
    assert max(map(len, done.out.splitlines())) <= WIDTH
    assert "[default: ]" not in done.out
    assert "--no-" not in done.out  # a flag has one name


@pytest.mark.parametrize("command", ALL)
def test_every_example_is_a_whole_line_that_the_command_accepts(resnas, command):
    """An example's options must be in the help, and its line must not be broken or joined with another."""
    text = resnas(*command.split(), "--help").out
    lines = [line.strip() for line in text.splitlines()]
    examples = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    assert bool(examples) == (command != "runners")
    assert text.count("$ resnas") == len(examples)
    for example in examples:
        assert example.startswith(f"resnas {command}")
        assert lines[lines.index(f"$ {example}") + 1][:1] in ("$", "")  # what follows is no rest of a broken line
        for option in re.findall(r"--[a-z0-9-]+", example):
            assert re.search(rf"{option}\b", text.replace(example, "")), option


@pytest.mark.parametrize("command", ["tradeoff", "triton export"])
def test_examples_are_a_line_each_on_a_narrow_terminal_too(resnas, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "60")
    text = resnas(*command.split(), "--help").out
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("Examples:") - 1] == ""
    assert len([line for line in lines if line.startswith("$ resnas")]) == text.count("$ resnas") > 3


def test_paragraphs_fill_the_lines_and_commands_in_them_stand_alone(resnas):
    lines = [line.strip() for line in resnas("deploy", "--help").out.splitlines()]
    first = next(n for n, line in enumerate(lines) if line.startswith("Each candidate's"))
    paragraph = lines[first : lines.index("", first)]
    assert all(len(line) > WIDTH - 20 for line in paragraph[:-1])
    lines = [line.strip() for line in resnas("sign", "--help").out.splitlines()]
    assert "resnas verify ARTIFACT --public-key KEY.pub" in lines


def test_options_say_what_they_take(resnas):
    text = resnas("export", "--help").out
    for option, value in (
        ("arch", r"NAME\|FILE"),
        ("checkpoint", "FILE"),
        ("precision", "NAME"),
        ("target", "NAME"),
        ("batch", r"N:M\|N"),
        ("align", r"1\|8\|16\|32\|64\|auto"),
        ("image-size", "N"),
        ("out", "FOLDER"),
        ("verify-on", "NAME"),
    ):
        assert re.search(rf"--{option} +{value} ", text), option


def test_the_version(resnas):
    assert resnas("--version").out == f"resnas {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["expor"], "No such command 'expor'. Did you mean 'export'?; see: resnas --help"),
        (["export", "--foo"], "No such option: --foo"),
        (["verify"], "Missing argument 'artifact'; see: resnas verify --help"),
        (["predict", "x"], "Missing argument 'images'; see: resnas predict --help"),
        (["import", "x"], "Missing option '--out'; see: resnas import --help"),
        (["archs", "small", "tiny"], "unexpected extra argument"),
        (["verify", "x", "--threads"], "'--threads' requires an argument"),
        (["verify", "x", "--threads", "many"], "Invalid value for '--threads'"),
        (["verify", "x", "--threads", "-1"], "Invalid value for '--threads'"),
        (["predict", "x", "y", "--threads", "100000"], "Invalid value for '--threads'"),
    ],
)
def test_wrong_usage_is_one_line(refused, arguments, said):
    line = refused(*arguments)
    assert said in line
    assert line.endswith("--help")
