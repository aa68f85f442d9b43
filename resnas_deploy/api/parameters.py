"""Arguments as people give them, checked against the types that a function says it takes.

A wrong one is `BadInput` that names the parameter, before anything is done. NumPy's numbers become Python's, which JSON
and text forms expect; whatever can be gone through once, such as a generator, becomes a tuple, or, for a function that
takes an `Iterable`, is checked as it goes on.
"""

from __future__ import annotations

import builtins
import inspect
import math
import numbers
import operator
import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Callable as AnyCallable
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.errors import BadInput, shown

MAX_SEED = 2**63 - 1  # PyTorch's
MAX_SECONDS = 86_400  # of a parameter: a day
MAX_COUNT = 100_000  # of whatever is made one by one
MAX_THREADS = 1024  # runtimes hang or crash when they are asked for many thousands

# The least and the most that a number may be: of a parameter, or of one function's.
_WITHIN: dict[str, tuple[float, float]] = {
    "calibration_images": (1, MAX_COUNT),
    "children": (2, MAX_COUNT),
    "confidence": (0.5, 0.999),
    "eval_batch": (1, 65_536),
    "fallback_minutes": (0, MAX_SECONDS / 60),
    "finalists": (1, 20),
    "first": (1, MAX_COUNT),
    "grpc_port": (0, 65_535),
    "http_port": (0, 65_535),
    "image_size": (1, MAX_SIDE),
    "instances": (1, 64),
    "epochs": (1, MAX_COUNT),
    "evaluate.batch": (1, MAX_BATCH),
    "evolve.batch": (1, MAX_BATCH),
    "held_out": (1, MAX_COUNT),
    "iterations": (1, MAX_COUNT),
    "latency": (0, math.inf),
    "level": (0, 5),
    "latency.batch": (1, MAX_BATCH),
    "max_batch": (1, MAX_BATCH),
    "max_drop": (0, 100),
    "metrics_port": (0, 65_535),
    "minutes": (0, 10_000),
    "most_growth": (1, 100),
    "networks": (1, MAX_COUNT),
    "optimum": (1, MAX_BATCH),
    "parents": (1, MAX_COUNT),
    "poll": (0, MAX_SECONDS),
    "predict.batch": (1, MAX_BATCH),
    "predicting.batch": (1, MAX_BATCH),
    "ready_within": (1, MAX_SECONDS),
    "rounds": (1, 20),
    "save_every": (0, MAX_SEED),
    "search.batch": (1, MAX_BATCH),
    "seconds": (0.1, MAX_SECONDS),
    "shape.batch": (1, MAX_BATCH),
    "shape.openings": (2, 100),
    "seed": (0, MAX_SEED),
    "subnets": (2, MAX_COUNT),
    "threads": (0, MAX_THREADS),
    "threshold": (0, 1000),
    "top": (1, MAX_COUNT),
    "tries": (1, 1000),
    "triton.batch": (1, MAX_BATCH),
    "within": (1, 10),
    "triton.export.threads": (1, MAX_THREADS),
    "workers": (0, 256),
}

F = TypeVar("F", bound=Callable[..., Any])

_WORDS = {
    str: "text",
    Path: "a path",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    type(None): "None",
}


def checked(function: F) -> F:
    """Return the function with its arguments checked, and made Python's own, by the annotations of its parameters."""
    signature = inspect.signature(function)

    @wraps(function)
    def checking(*positional: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*positional, **named)
        except TypeError:
            return function(*positional, **named)  # Python says best which argument is missing or too many
        kinds = _kinds(function)
        for name, value in bound.arguments.items():
            if name in kinds:
                bound.arguments[name] = _taken(name, value, kinds[name])
                least, most = _limits(function, name)
                if isinstance(given := bound.arguments[name], (int, float)) and not least <= given <= most:
                    wanted = f"from {least} to {most}" if most < math.inf else f"at least {least}"
                    raise BadInput(f"`{name}` must be {wanted}, found {shown(given)}")
        return function(*bound.args, **bound.kwargs)

    return checking  # type: ignore[return-value]  # it has the same signature


def _limits(function: Callable[..., Any], parameter: str) -> tuple[float, float]:
    """Return the least and the most that a number may be."""
    subject = function.__module__.rpartition(".")[2]
    names = (f"{subject}.{function.__name__}.{parameter}", f"{subject}.{parameter}", parameter)
    return next((_WITHIN[name] for name in names if name in _WITHIN), (-math.inf, math.inf))


@cache
def _kinds(function: Callable[..., Any]) -> dict[str, object]:
    """Return the type of each parameter. One that is imported for type checkers alone is known by its name."""
    names = _Names(sys.modules[function.__module__].__dict__)
    return {
        name: kind
        for name, kind in inspect.get_annotations(function, eval_str=True, locals=names).items()
        if name not in ("return", "self") and getattr(kind, "__name__", "") != "Any"
    }


class _Names(dict[str, object]):
    def __missing__(self, name: str) -> object:
        if hasattr(builtins, name):
            return getattr(builtins, name)
        return type(name, (), {"__module__": "for type checkers"})


class _Wrong(Exception):
    """A value is not of a kind."""


def _taken(name: str, value: object, kind: object) -> object:
    try:
        return _as(value, kind)
    except _Wrong:
        pass
    found, remedy = (shown(value) if isinstance(value, _PLAIN) else f"a {type(value).__name__}"), ""
    options = _options(kind)
    several = [option for option in options if get_origin(option) in (Sequence, Iterable)]
    if several and isinstance(value, (str, int, float, os.PathLike)):
        remedy = f"; write it as a list: [{shown(value)}]"
    elif value is None:
        remedy = "; leave it out for the usual"
    raise BadInput(f"`{name}` must be {_described(options)}, found {found}{remedy}")


_PLAIN = (str, bytes, int, float, type(None), os.PathLike, list, tuple, dict)


def _options(kind: object) -> tuple[object, ...]:
    if get_origin(kind) in (types.UnionType, Union):
        return tuple(option for each in get_args(kind) for option in _options(each))
    return (kind,)


def _as(value: object, kind: object) -> object:
    """Return the value as one of a kind. Raise `_Wrong` where it is none."""
    options = _options(kind)
    if len(options) > 1:
        for option in options:
            try:
                return _as(value, option)
            except _Wrong:
                continue
        raise _Wrong
    origin = get_origin(kind) or kind
    if origin is object:
        return value
    if origin is AnyCallable:
        return _kept(value, callable(value))
    if origin is Sequence:
        if isinstance(value, (str, bytes, bytearray, Mapping, os.PathLike)) or not isinstance(value, Iterable):
            raise _Wrong
        each = get_args(kind)[0]
        return tuple(_as(item, each) for item in value)
    if origin is Iterable:
        return _one_by_one(value, get_args(kind)[0])
    if origin is bool:
        is_numpys = type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
        return bool(_kept(value, isinstance(value, bool) or is_numpys))
    if origin in (int, float):
        return _number(value, whole=origin is int)
    if origin is str:
        return _kept(value, isinstance(value, str) and _can_be_a_name(value))
    if origin is Path:
        path = value if isinstance(value, os.PathLike) else None
        if path is None or not isinstance(text := os.fspath(path), str) or not _can_be_a_name(text):
            raise _Wrong
        return path if isinstance(path, Path) else Path(text)
    assert isinstance(origin, type)
    if origin.__module__ == "for type checkers":
        return _kept(value, any(base.__name__ == origin.__name__ for base in type(value).__mro__))
    return _kept(value, isinstance(value, origin))


def _one_by_one(value: object, each: object) -> Iterable[object]:
    """Return what can be gone through: an iterator is checked as it goes on, and all else at once."""
    if not isinstance(value, Iterator):
        return cast("Iterable[object]", _as(value, Sequence[each]))  # type: ignore[valid-type]  # a type all the same
    return _checked_later(value, each)


def _checked_later(values: Iterator[object], each: object) -> Iterator[object]:
    for value in values:
        try:
            yield _as(value, each)
        except _Wrong:
            wanted = _described(_options(each))
            raise BadInput(f"each of what is given must be {wanted}, found {shown(value)}") from None


def _kept(value: object, right: bool) -> object:
    if not right:
        raise _Wrong
    return value


def _number(value: object, *, whole: bool) -> int | float:
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        raise _Wrong
    if isinstance(value, numbers.Integral) or (whole and hasattr(value, "__index__")):
        try:
            number = operator.index(value)
            return number if whole else float(number)  # as documents hold it: 1 is written otherwise than 1.0
        except (TypeError, OverflowError):
            raise _Wrong from None
    if whole or not isinstance(value, numbers.Real) or value != value:  # not even itself: NaN
        raise _Wrong
    return float(value)


def _can_be_a_name(text: str) -> bool:
    """Whether a file or anything else can have the text as its name: no null, no half of a character."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _described(options: Sequence[object]) -> str:
    return " or ".join(dict.fromkeys(map(_word, options)))


def _word(kind: object) -> str:
    origin = get_origin(kind) or kind
    if origin in (Sequence, Iterable):
        return f"several, each {_described(_options(get_args(kind)[0]))}"
    if origin is AnyCallable:
        return "a function of one text"
    if origin is Mapping:
        return "a mapping"
    assert isinstance(origin, type)
    return _WORDS.get(origin) or f"{'an' if origin.__name__[0] in 'AEIOU' else 'a'} {origin.__name__}"
