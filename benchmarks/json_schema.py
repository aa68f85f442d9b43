"""JSON Schema (draft 2020-12) of what `records` reads and writes, and of the typed dictionaries that others write."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from resnas_deploy.files.records import derived_of, forms

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def schema_of(kind: Any, title: str) -> dict[str, Any]:
    """Return the schema of documents of a kind: a record, a typed dictionary, or any type that a record's field may be.

    Fields that no reader knows are allowed in none of them.
    """
    named: dict[str, Any] = {}
    body = _schema(kind, named)
    return {"$schema": DIALECT, "title": title} | body | ({"$defs": dict(sorted(named.items()))} if named else {})


def _schema(kind: Any, named: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is object or kind is Any:
        return {}
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if origin in (types.UnionType, Union):
        return {"anyOf": [_schema(each, named) for each in arguments]}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], named)}
    if origin is list or arguments[1:] == (...,):
        return {"type": "array", "items": _schema(arguments[0], named)}
    if origin is tuple:
        items = [_schema(each, named) for each in arguments]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if kind.__name__ not in named:
        named[kind.__name__] = {}  # in the place of one that refers to itself
        named[kind.__name__] = _object(kind, named)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _object(kind: Any, named: dict[str, Any]) -> dict[str, Any]:
    if is_dataclass(kind):
        known = {form.name: form for form in forms(kind).values()}
        hints = {**{name: form.kind for name, form in known.items()}, **derived_of(kind)}
        absent = {name for name, form in known.items() if form.optional}  # which people leave out, and programs do not
        needed = [name for name, hint in hints.items() if types.NoneType not in get_args(hint) and name not in absent]
    elif is_typeddict(kind):
        extras = get_type_hints(kind, include_extras=True)  # `__required_keys__` cannot see into postponed annotations
        hints = get_type_hints(kind)
        needed = [name for name, hint in extras.items() if get_origin(hint) is not NotRequired]
    else:
        raise TypeError(f"a schema must be of a record, a typed dictionary or plain types, found {kind}")
    said = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    return {
        **({"description": said} if said else {}),
        "type": "object",
        "properties": {name: _schema(hint, named) for name, hint in hints.items()},
        "required": needed,
        "additionalProperties": False,
    }
