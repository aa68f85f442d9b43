"""Frozen dataclasses to plain JSON data and back. Reading is strict: a wrong field is named, none is passed over.

A field may be of `str`, `int`, `float`, `bool`, another such dataclass, `tuple[X, ...]` or `Mapping[str, X]` of these,
or any of them `| None`, or one of two such where the second is a tuple. A field that is None is left out.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from resnas_deploy.errors import BadInput, shown

Record = TypeVar("Record")

_LARGEST = 2**63 - 1  # integer, as in other programs that read JSON
_NAMES = {str: "a text", int: "an integer", bool: "true or false"}


def to_json(record: object) -> dict[str, object]:
    """Plain data for JSON; `from_json` is its inverse."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]  # a dataclass
    return {name: _plain(value) for name, value in values.items() if value is not None}


def from_json(kind: type[Record], data: object, what: str) -> Record:
    """Read what `to_json` wrote of a `kind`. Raises `BadInput` with the field's path, which begins with `what`."""
    if not isinstance(data, dict):
        raise BadInput(f"{what} must be a JSON object, found {shown(data)}")
    hints = get_type_hints(kind)
    if foreign := [name for name in data if name not in hints]:
        raise BadInput(f"{what} has the unknown field {shown(foreign[0])}; known are {', '.join(hints)}")
    return kind(**{name: _read(hint, data.get(name), f"{what}.{name}") for name, hint in hints.items()})


def _plain(value: Any) -> object:
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _read(hint: Any, value: object, where: str) -> Any:
    """The value of a field of that type; None stands for a field that is not there."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        if value is None and types.NoneType in arguments:
            return None
        as_list = [kind for kind in arguments if get_origin(kind) is tuple and isinstance(value, list)]
        return _read((as_list or arguments)[0], value, where)
    if value is None:
        raise BadInput(f"{where} must be there, found none")
    if is_dataclass(hint):
        return from_json(hint, value, where)  # type: ignore[arg-type]  # a class, as every type hint
    if origin is tuple:
        if not isinstance(value, list):
            raise BadInput(f"{where} must be a list, found {shown(value)}")
        return tuple(_read(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise BadInput(f"{where} must be a JSON object, found {shown(value)}")
        return {str(key): _read(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float:
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # type: ignore[arg-type]  # a number
            raise BadInput(f"{where} must be a finite number, found {shown(value)}")
        return float(value)  # type: ignore[arg-type]  # a number, as was checked
    if type(value) is not hint or (hint is int and abs(value) > _LARGEST):  # type: ignore[arg-type]  # a number
        raise BadInput(f"{where} must be {_NAMES[hint]}, found {shown(value)}")
    return value
