"""What `resnas a b` does, `resnas.a.b(..)` does: a function for every command, with its parameters and its defaults."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import get_type_hints

import pytest
from support.command_tree import COMMANDS

import resnas_deploy as resnas
from resnas_deploy.progress import Progress, silent

NAMES = {"import": "import_checkpoint", "runners": "available_runners"}  # where Python's name is another
ONLY_COMMANDS = {  # of the command line alone
    "as_json",  # results have to_json()
    ("search", "plan"),  # search.plan() is for it
    ("archs", "name"),  # read_arch() is for it
    ("space show", "toml"),  # a method of what it returns
    ("space shape", "plot"),
    *(("evaluate", name) for name in ("html", "csv", "force", "skip_unreadable")),
    *(
        (words, name)
        for words in ("bench", "latency check", "train status", "triton load")
        for name in ("out", "plot", "force")
    ),
    *(("gate", name) for name in ("summary", "html", "history", "commit", "branch", "force")),
    *(("history", name) for name in ("html", "force")),
    *(
        ("predict", name) for name in ("csv", "jsonl", "out", "force")
    ),  # predictions(), and save() of what predict() returns
}  # the last are methods of what these return
ONLY_PYTHON = {
    "progress",
    "each_epoch",  # which the command line prints
    ("search", "max_latency_ms"),  # a number, where text has a unit
    ("search", "model"),  # in memory, where a command has its store
}
PLURALS = {  # what an option names once, a parameter takes several of
    "arch": "archs",
    "artifact": "artifacts",
    "batch": "batches",
    "concurrency": "concurrencies",
    "peer": "peers",
    "precision": "precisions",
    "profile": "profiles",
    "protocol": "protocols",
    "rate": "rates",
    "runner": "runners",
    "step": "steps",
}
OTHERWISE = {("inspect", "path"): "source"}  # command, option: the parameter


def function_of(words: str):
    found = resnas
    for word in words.split():
        found = getattr(found, NAMES.get(word, word.replace("-", "_")))
    return found


def parameter_of(words: str, option: str, parameters: Collection[str]) -> str:
    name = OTHERWISE.get((words, option), option)
    return name if name in parameters else PLURALS.get(name, name)


def plain(default: object) -> object:
    """A default as both sides may write it: absence is None, "" or nothing in a sequence, and 8 may be "8"."""
    if default is None or default is inspect.Parameter.empty:
        return default
    if isinstance(default, Sequence) and not isinstance(default, str):
        default = ",".join(map(str, default))
    return str(default) or None


def test_there_are_commands():
    assert {"export", "bench", "latency profile", "triton export", "train supernet"} <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_each_has_a_function_with_its_parameters_and_its_defaults(words):
    function = function_of(words)
    options = inspect.signature(COMMANDS[words]).parameters
    parameters = inspect.signature(function).parameters
    wanted = {
        parameter_of(words, name, parameters): plain(option.default)
        for name, option in options.items()
        if name not in ONLY_COMMANDS and (words, name) not in ONLY_COMMANDS
    }
    found = {name: plain(parameter.default) for name, parameter in parameters.items()}
    missing = set(wanted) - set(found)
    assert not missing, f"{words} takes options that its function does not"
    more = {name for name in set(found) - set(wanted) - ONLY_PYTHON if (words, name) not in ONLY_PYTHON}
    assert not more, f"{words} lacks what its function takes"
    required = inspect.Parameter.empty
    differ = {
        name: (wanted[name], found[name])
        for name in wanted
        if wanted[name] != found[name] and not (wanted[name] is None and found[name] is required)
    }
    assert not differ, "the command's defaults and the function's"


@pytest.mark.parametrize("words", COMMANDS)
def test_progress_comes_last_and_is_silent(words):
    parameters = list(inspect.signature(function_of(words)).parameters.values())
    for parameter in parameters:
        if parameter.name == "progress":
            assert parameter is parameters[-1]
            assert parameter.default is silent
            assert parameter.annotation in (Progress, "Progress")


@pytest.mark.parametrize("words", COMMANDS)
def test_numbers_have_the_limits_of_the_commands(words):
    function = function_of(words)
    parameters = inspect.signature(function).parameters
    required = {name: "x" for name, each in parameters.items() if each.default is inspect.Parameter.empty}
    for name, kind in get_type_hints(COMMANDS[words], include_extras=True).items():
        for info in getattr(kind, "__metadata__", ()):
            if name in parameters and getattr(info, "min", None) is not None:
                for beyond in (info.min - 1, *([info.max + 1] if info.max is not None else [])):
                    with pytest.raises(resnas.BadInput, match=f"`{name}` must be .*found {beyond}"):
                        function(**required | {name: beyond})
