"""Search spaces as people write them, in TOML: what is wrong is said in TOML's words, with its line."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.records import forms, from_json, to_json

_STAGES = "stages"
_STAGE = re.compile(r"stages\[(\d+)\]")  # at the beginning of a message of the reader
_HEADER = re.compile(r"\s*\[\[\s*\"?stages\"?\s*\]\]")
_SINGLE = re.compile(r"^\s*\[\s*stages?\s*\]", re.MULTILINE)


@dataclass(frozen=True)
class _Mistake:
    """What is wrong with a key, of a stage (counted from 0) or of the whole file."""

    stage: int | None
    key: str
    text: str


def parse_space(text: str, source: str) -> SearchSpace:
    """Read a space that is written in TOML; `source` is what messages call it. Raise `BadInput` that names the line."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:  # ValueError: thousands of digits
        hint = "; each stage is begun by [[stages]]" if _SINGLE.search(text) else ""
        raise BadInput(f"{source} must be a search space in TOML, found: {error}{hint}") from None
    if mistake := next(_mistakes(data), None):
        raise BadInput(f"{source}{_line(text, mistake.stage, mistake.key)}: {mistake.text}")
    try:
        return from_json(SearchSpace, {"name": Path(source).stem, **data}, "", defaults=True)
    except BadInput as error:
        raise BadInput(f"{source}{_line(text, *_subject(str(error)))}: {error}") from None


def space_text(space: SearchSpace) -> str:
    """Return the space as a file that `parse_space` reads."""
    data: dict[str, Any] = to_json(space)
    lines = [_entry(key, value) for key, value in data.items() if key != _STAGES]
    for stage in data[_STAGES]:
        lines += ["", "[[stages]]", *(_entry(key, value) for key, value in stage.items())]
    return "\n".join(lines) + "\n"


def _entry(key: str, value: object) -> str:
    if isinstance(value, str):  # a name, which is printable: what TOML would end it by is all there is to escape
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{key} = "{escaped}"'
    return f"{key} = {json.dumps(value)}"


def _mistakes(data: Mapping[str, object]) -> Iterator[_Mistake]:
    """Yield what people get wrong in TOML; the strict reader, which knows no TOML, finds the rest."""
    stages = data.get(_STAGES)
    if isinstance(stages, dict):
        yield _Mistake(None, _STAGES, "a stage must be written below [[stages]], found [stages]")
        return
    for key, value in data.items():
        yield from _of_key(None, key, value)
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        found = "none" if stages is None else shown(stages)
        yield _Mistake(None, _STAGES, f"there must be stages, each below a line [[stages]], found {found}")
        return
    for number, stage in enumerate(stages):
        for key, value in stage.items():
            yield from _of_key(number, key, value)


def _of_key(stage: int | None, key: str, value: object) -> Iterator[_Mistake]:
    """Yield what is wrong with one key: an unknown one, or a list for a number or the other way round."""
    known, others = forms(SearchSpace), forms(StageSpace)
    if stage is not None:
        known, others = others, known
    name = key if stage is None else f"stages[{stage}].{key}"
    if key in others and key not in known:
        where, put = ("below a", "before the first") if stage is not None else ("before the first", "below a")
        yield _Mistake(stage, key, f"{key} must stand {put} [[stages]], found it {where} [[stages]]")
    elif key not in known:
        near = difflib.get_close_matches(key[:60], known, 1)
        meant = f"; is {near[0]} meant?" if near else ""
        owner = "the space" if stage is None else f"stages[{stage}]"
        text = f"{owner} has the unknown key {shown(key)}; known are {', '.join(known)}{meant}"
        yield _Mistake(stage, key, text)
    elif key == _STAGES:
        return
    elif _is_list(known[key].kind):
        if type(value) in (int, str):
            item, items = (str, "texts") if _holds(known[key].kind, str) else (int, "numbers")
            remedy = f"; write {key} = {json.dumps([value])}" if type(value) is item else ""
            yield _Mistake(stage, key, f"{name} must be a list of {items}, found {shown(value)}{remedy}")
    elif isinstance(value, list):
        remedy = f"; write {key} = {value[0]}" if len(value) == 1 and type(value[0]) is int else ""
        yield _Mistake(stage, key, f"{name} must be one value, found {shown(value)}{remedy}")


def _is_list(kind: Any) -> bool:
    """Whether a key of that type is a list, which may be left out."""
    return any(get_origin(each) is tuple for each in (kind, *get_args(kind)))


def _holds(kind: Any, item: type) -> bool:
    """Whether a list of that type has items of `item`."""
    return any(item in get_args(each) for each in (kind, *get_args(kind)))


def _subject(message: str) -> tuple[int | None, str]:
    """Return the stage and the key that a message of the strict reader speaks of."""
    match = _STAGE.match(message)
    known = forms(StageSpace if match else SearchSpace)
    words = re.findall(r"\w+", message[match.end() if match else 0 :])[:3]  # widths must ..; each of widths must ..
    return int(match[1]) if match else None, next((word for word in words if word in known), "")


def _line(text: str, stage: int | None, key: str) -> str:
    """Return where a key stands, as it is usually written: `, line 14`; the stage's beginning where it is not there."""
    written = re.compile(rf"\s*\[*\s*[\"']?{re.escape(key)}[\"']?\s*[=\]]")
    inside, begun = None, 0
    for number, line in enumerate(text.splitlines(), start=1):
        if _HEADER.match(line):
            inside = 0 if inside is None else inside + 1
            begun = number if inside == stage else begun
        elif key and inside == stage and written.match(line):
            return f", line {number}"
    return f", line {begun}" if begun else ""
