"""The reference, written from the code: commands and options, Python functions, JSON documents, recipes."""

from __future__ import annotations

import inspect
import io
import json
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from types import ModuleType
from typing import Any, get_args, get_origin

import typer
from documents import DOCUMENTS
from tabulated import table

import resnas_deploy as resnas
from resnas_deploy.api.search_call import Search
from resnas_deploy.cli.app import app
from resnas_deploy.progress import silent
from resnas_deploy.training.recipe import Recipe

_HEADS = ("Args:", "Raise ", "Raises ")


def _leaves(group: Any, *above: str) -> Iterator[tuple[str, Any]]:
    """Yield each command below a group by the words that call it."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from _leaves(found, *above, name)
        else:
            yield " ".join((*above, name)), found


def all_commands() -> dict[str, Any]:
    """Return each command by the words that call it, in the order of the help."""
    return dict(_leaves(typer.main.get_command(app)))


def _summary(command: Any) -> str:
    text: str = " ".join((command.help or "").partition("\n\n")[0].split())
    return text


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def commands() -> str:
    """Return a table of the commands, a line of what each does."""
    return table(("", ""), {f"`resnas {words}`": [_cell(_summary(one))] for words, one in all_commands().items()})


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return f"({parameter.show_default})"
    if parameter.show_default is False or parameter.default in (None, "", [], ()):
        return ""
    if isinstance(parameter.default, bool):
        return "off" if parameter.default is False else "on"
    if callable(parameter.default):
        return ""
    return f"`{parameter.default}`"


def _options(command: Any) -> str:
    rows = {}
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        is_option = parameter.opts[0].startswith("-")
        names = [*parameter.opts, *parameter.secondary_opts]
        metavar = parameter.metavar or ""
        written = ", ".join(names) if is_option else (parameter.metavar or (parameter.name or "").upper())
        if is_option and metavar:
            written += f" {metavar}"
        rows[f"`{_cell(written)}`"] = [_cell(parameter.help or ""), _cell(_default(parameter))]
    return table(("option", "what it is", "where it is left out"), rows)


def command_reference() -> str:
    """Return the sections of a page: each command with its examples, its options and their defaults."""
    sections = []
    for words, command in all_commands().items():
        text, _, examples = inspect.cleandoc(command.help or "").partition("\nExamples:\n")
        parts = [f"### resnas {words}", _paragraphs(text)]
        if examples.strip():
            parts.append(f"```console\n{inspect.cleandoc(examples)}\n```")
        sections.append("\n\n".join([*parts, _options(command)]))
    return "\n\n".join(sections) + "\n"


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").split("\n\n") if part.strip())


def api_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions of the API by their whole names, those of its namespaces and of `search` too."""
    for name in resnas.__dir__():
        found = getattr(resnas, name)
        if name.startswith("_"):
            continue
        if inspect.isfunction(found) and found.__module__.startswith("resnas_deploy.api"):
            yield name, found
        elif isinstance(found, ModuleType) and found.__name__.startswith("resnas_deploy.api."):
            for inner, item in vars(found).items():
                ours = inspect.isfunction(item) and item.__module__.startswith("resnas_deploy.api.")
                if ours and not inner.startswith(("_", "checked")):
                    yield f"{name}.{inner}", item
        elif isinstance(found, Search):
            yield name, found  # type: ignore[misc]  # it is called like one
            for inner in ("plan", "measure", "finish"):
                yield f"{name}.{inner}", getattr(found, inner)


def _signature(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    lines = [f"resnas.{name}("]
    keyword_only = False
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            lines.append("    *,")
        written = parameter.name if parameter.annotation is parameter.empty else f"{parameter.name}: "
        written += "" if parameter.annotation is parameter.empty else str(parameter.annotation)
        if parameter.default is not parameter.empty:
            default = "silent" if parameter.default is silent else repr(parameter.default)
            written += f" = {default}"
        lines.append(f"    {written},")
    returned = signature.return_annotation
    end = ")" if returned is signature.empty else f") -> {returned}"
    return "\n".join([*lines, end]) if len(lines) > 1 else lines[0] + end


def _docstring(function: Callable[..., Any]) -> str:
    """Return a docstring as Markdown: its list of arguments as one."""
    written = []
    for part in (inspect.getdoc(function) or "").split("\n\n"):
        if part.startswith("Args:"):
            arguments = inspect.cleandoc(part.partition("\n")[2])
            items = re.split(r"\n(?=\S)", arguments)
            for item in items:
                names, _, meaning = item.partition(":")
                written.append(f"- `{names}`: {' '.join(meaning.split())}")
            written.append("")
        else:
            written.append(" ".join(part.split()))
            written.append("")
    return "\n".join(written).strip()


def api_reference() -> str:
    """Return the page of the Python API: each function with its signature and what its docstring says."""
    sections = [
        "# API reference",
        "Every public function, from its docstring. [The guide](../python.md) shows them at work; it begins with "
        "`import resnas_deploy as resnas`. `progress` is a function that is told what is being done; `silent` says "
        "nothing.",
    ]
    for name, function in api_functions():
        sections += [f"## resnas.{name}", f"```python\n{_signature(name, function)}\n```", _docstring(function)]
    return "\n\n".join(sections) + "\n"


def _about(kind: type) -> str:
    said = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    return "" if said.startswith(f"{kind.__name__}(") else said  # what a dataclass without a docstring has for one


def schemas() -> str:
    """Return a table of the JSON documents: the schema of each, and what it describes."""
    rows = {}
    for name, kind in sorted(DOCUMENTS.items()):
        kinds = get_args(kind) or (kind,)
        said = " Or: ".join(dict.fromkeys(_about(one) for one in kinds))
        rows[f"[{name}](schemas/{name}.json)"] = [_cell(f"A list. {said}" if get_origin(kind) is list else said)]
    return table(("schema", "what it describes"), rows)


def _comments(kind: type) -> dict[str, str]:
    """Return the comment that stands behind each field in its source."""
    source = inspect.getsource(kind)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    lines = source.splitlines()
    found = {}
    for token in tokens:
        if token.type == tokenize.COMMENT:
            name = lines[token.start[0] - 1].strip().partition(":")[0]
            found[name] = token.string.removeprefix("#").strip()
    return found


def recipe_keys() -> str:
    """Return a table of the keys of a recipe: type, default and meaning."""
    meanings = _comments(Recipe)
    kinds = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text"}
    rows = {}
    for field in fields(Recipe):
        kind = kinds.get(str(field.type), "true, false or a text")
        default = "required" if field.default is MISSING else f"`{json.dumps(field.default)}`"
        rows[f"`{field.name}`"] = [kind, default, _cell(meanings.get(field.name, ""))]
    return table(("key", "type", "where it is left out", "what it is"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "recipe-keys": recipe_keys,
    "schemas": schemas,
}
