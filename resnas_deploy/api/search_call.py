"""`resnas.search`: a function, and beside it those for the parts of a search, such as `resnas.search.measure`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

from resnas_deploy.api.found import finish as _finish
from resnas_deploy.api.found import measure as _measure
from resnas_deploy.api.search import search as _search

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Search(Generic[Parameters, Result]):
    """Calls a function, and has others as its attributes: each a `staticmethod` here."""

    def __init__(self, function: Callable[Parameters, Result]) -> None:
        self._function = function
        functools.update_wrapper(self, function)  # its text and its signature, for `help`

    def __call__(self, *args: Parameters.args, **named: Parameters.kwargs) -> Result:
        """Search."""
        return self._function(*args, **named)

    measure = staticmethod(_measure)
    finish = staticmethod(_finish)


search = Search(_search)
