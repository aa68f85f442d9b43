"""Frozen dataclasses to plain JSON data and back. Reading is strict: a wrong field is named, none is passed over.

A field may be of `str`, `int`, `float`, `bool`, a `Literal` of texts, `object` (any JSON), another such dataclass,
`tuple[X, ...]`, `tuple[X, Y]` or `Mapping[str, X]` of these, or a union of some that JSON tells apart. A field that is
None is left out. What stands in JSON in another form says so by `as_json`; what is written beside the fields, and
follows from them, stands in the class's `DERIVED`. benchmarks/json_schema.py describes the same in JSON Schema.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from resnas_deploy.errors import BadInput, shown

Record = TypeVar("Record")

_LARGEST = 2**63 - 1  # integer, as in other programs that read JSON
_NAMES = {str: "a text", int: "an integer", bool: "true or false"}
_WHOLE = "the document"  # which has no name in paths
_FORM = "json"  # the key of a field's metadata


@dataclass(frozen=True)
class _Form:
    """How a field stands in JSON."""

    name: str
    kind: Any  # its type there
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]
    null: bool  # whether None is written as null, and not left out
    optional: bool  # whether the field has a default


def as_json(
    name: str = "",
    kind: Any = None,
    read: Callable[[Any], Any] = lambda value: value,
    write: Callable[[Any], Any] = lambda value: value,
    *,
    null: bool = False,
) -> dict[str, Any]:
    """Return the metadata of a field that stands in JSON under another name, or as a value of another type.

    `read` makes the field's value of that of JSON, and `write` the other way round. With `null` a None is written.
    """
    return {_FORM: (name, kind, read, write, null)}


def text_or_nothing(kind: Any = str) -> Any:
    """Return a field of text that is left out of JSON where it is empty; documents of before it lack it too."""
    metadata = as_json(kind=kind | None, read=lambda text: text or "", write=lambda text: text or None)
    return field(default="", metadata=metadata)


def to_json(record: object) -> dict[str, object]:
    """Return plain data for JSON; `from_json` is its inverse."""
    found = {}
    for name, form in forms(type(record)).items():
        value = form.write(getattr(record, name))
        if value is not None or form.null:
            found[form.name] = _plain(value)
    return found


def from_json(kind: type[Record], data: object, what: str, *, defaults: bool = False) -> Record:
    """Read what `to_json` wrote of a `kind`. Raise `BadInput` with the field's path, which begins with `what`, if any.

    With `defaults`, for what people write, a field that has one may be missing.
    """
    if not isinstance(data, dict):
        raise BadInput(f"{what or _WHOLE} must be a JSON object, found {shown(data)}")
    known, derived = forms(kind), derived_of(kind)
    names = [*(form.name for form in known.values()), *derived]
    if foreign := [name for name in data if name not in names]:
        raise BadInput(f"{what or _WHOLE} has the unknown field {shown(foreign[0])}; known are {', '.join(names)}")
    for name, hint in derived.items():
        _read(hint, data.get(name), _within(what, name), defaults)
    values = {
        name: form.read(_read(form.kind, data.get(form.name), _within(what, form.name), defaults))
        for name, form in known.items()
        if not (defaults and form.optional and form.name not in data)
    }
    try:
        return kind(**values)
    except BadInput as error:
        raise BadInput(f"{what}: {error}" if what else str(error)) from None


def forms(kind: Any) -> Mapping[str, _Form]:
    """Return how each field of a dataclass stands in JSON, by its own name."""
    return _forms(kind)


@cache
def _forms(kind: Any) -> Mapping[str, _Form]:
    hints = get_type_hints(kind)
    found = {}
    for each in fields(kind):
        name, other, read, write, null = each.metadata.get(_FORM) or as_json()[_FORM]
        optional = each.default is not MISSING or each.default_factory is not MISSING
        found[each.name] = _Form(name or each.name, other or hints[each.name], read, write, null, optional)
    return found


def derived_of(kind: Any) -> Mapping[str, Any]:
    """Return the types of what is written beside the fields of a dataclass."""
    found: Mapping[str, Any] = getattr(kind, "DERIVED", {})
    return found


def _plain(value: Any) -> object:
    if is_dataclass(value):
        own = getattr(value, "to_json", None)  # which adds what follows from its fields
        return own() if own else to_json(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _read(hint: Any, value: object, where: str, defaults: bool) -> Any:
    """Return the value of a field of that type; None stands for a field that is not there."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (types.UnionType, Union):
        if value is None and types.NoneType in arguments:
            return None
        kinds = [kind for kind in arguments if kind is not types.NoneType]
        return _read(next((kind for kind in kinds if _fits(kind, value)), kinds[0]), value, where, defaults)
    if hint is object:
        return value
    if value is None:
        raise BadInput(f"{where} must be there, found none")
    if is_dataclass(hint):
        return from_json(hint, value, where, defaults=defaults)  # type: ignore[arg-type]  # a class, as every type hint
    if origin is Literal:
        if value not in arguments:
            raise BadInput(f"{where} must be one of {', '.join(arguments)}, found {shown(value)}")
        return value
    if origin is tuple:
        return _read_list(arguments, value, where, defaults)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise BadInput(f"{where} must be a JSON object, found {shown(value)}")
        return {str(key): _read(arguments[1], item, f"{where}.{key}", defaults) for key, item in value.items()}
    if hint is float:
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:  # type: ignore[arg-type]  # a number
            raise BadInput(f"{where} must be a finite number, found {shown(value)}")
        return float(value)  # type: ignore[arg-type]  # a number, as was checked
    if type(value) is not hint or (hint is int and abs(value) > _LARGEST):  # type: ignore[arg-type]  # a number
        raise BadInput(f"{where} must be {_NAMES[hint]}, found {shown(value)}")
    return value


def _within(what: str, name: str) -> str:
    return f"{what}.{name}" if what else name


def _read_list(kinds: tuple[Any, ...], value: object, where: str, defaults: bool) -> tuple[Any, ...]:
    """Read a list of any length of one type, or of as many items as there are types."""
    if not isinstance(value, list):
        raise BadInput(f"{where} must be a list, found {shown(value)}")
    if kinds[1:] == (...,):
        kinds = kinds[:1] * len(value)
    elif len(value) != len(kinds):
        raise BadInput(f"{where} must be a list of {len(kinds)}, found {shown(value)}")
    return tuple(
        _read(kind, item, f"{where}[{number}]", defaults)
        for number, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _fits(kind: Any, value: object) -> bool:
    """Whether JSON's value is of that kind, as far as JSON tells kinds apart."""
    origin = get_origin(kind)
    if origin is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if origin is tuple:
        return isinstance(value, list)
    if origin is Mapping or is_dataclass(kind):
        return isinstance(value, dict)
    return type(value) is kind
