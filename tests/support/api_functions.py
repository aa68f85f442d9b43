"""The public functions of the Python API by their whole names, those of namespaces too; some have two."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import resnas_deploy as resnas
from resnas_deploy.api.search_call import Search

API = "resnas_deploy.api."


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the name and the function of each."""
    for name in resnas._HOMES:
        found = getattr(resnas, name)
        if inspect.isfunction(found):
            yield name, found
        elif isinstance(found, ModuleType):
            for inner, item in vars(found).items():
                if (
                    inspect.isfunction(item)
                    and item.__module__.startswith(API)
                    and not inner.startswith(("_", "checked"))
                ):
                    yield f"{name}.{inner}", item
        elif isinstance(found, Search):
            yield name, inspect.unwrap(found, stop=inspect.isfunction)
            for inner in {**vars(Search), **vars(found)}:
                if not inner.startswith("_"):  # some are its own, and not the class's
                    yield f"{name}.{inner}", getattr(found, inner)
