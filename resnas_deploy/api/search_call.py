"""`resnas.search`: a function, and beside it those for the parts of a search, such as `resnas.search.measure`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Generic, ParamSpec

from resnas_deploy.api.found import SearchResult
from resnas_deploy.api.found import finish as _finish
from resnas_deploy.api.found import measure as _measure
from resnas_deploy.api.search import Asked
from resnas_deploy.api.search import search as _search
from resnas_deploy.api.search_plan import SearchPlan
from resnas_deploy.searching import plan as planning
from resnas_deploy.searching import search as searching

Parameters = ParamSpec("Parameters")


class Search(Generic[Parameters]):
    """Searches as it is asked to, or tells what that would take; the steps after it are its attributes."""

    def __init__(self, ask: Callable[Parameters, Asked]) -> None:
        self._ask = ask
        functools.update_wrapper(self, ask)  # its text, for `help`
        self.__signature__ = inspect.signature(ask).replace(return_annotation=SearchResult)
        self.plan = _planning(ask)

    def __call__(self, *args: Parameters.args, **named: Parameters.kwargs) -> SearchResult:
        """Search."""
        asked = self._ask(*args, **named)
        return SearchResult.of(searching.search(asked.request, asked.progress))

    measure = staticmethod(_measure)
    finish = staticmethod(_finish)


def _planning(ask: Callable[Parameters, Asked]) -> Callable[Parameters, SearchPlan]:
    def plan(*args: Parameters.args, **named: Parameters.kwargs) -> SearchPlan:
        """Return what a search of these arguments would take: candidates, images, time and memory. Write nothing.

        A few passes are timed on the workers that it would have. Raise what the search would before it begins.
        """
        asked = ask(*args, **named)
        return SearchPlan(**vars(planning.plan(asked.request, asked.progress)))

    plan.__signature__ = inspect.signature(ask).replace(return_annotation=SearchPlan)  # type: ignore[attr-defined]  # which `help` reads
    return plan


search = Search(_search)
