"""Groups of options that several commands take, each written once: a dataclass whose fields are the options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from inspect import Parameter
from typing import Any, get_type_hints


@dataclass(frozen=True)
class OptionGroup:
    """A base of groups whose options have the names of the API's parameters."""

    def arguments(self) -> dict[str, Any]:
        """Return them as the API takes them."""
        return asdict(self)


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command as typer takes it: a parameter that is a group stands for the options in it, in its place.

    The command gets a group as one value. A field without a default is an option that must be given.
    """
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {item.name: item.annotation for item in parameters if is_dataclass(item.annotation)}

    @functools.wraps(command)
    def expanded(**options: Any) -> None:
        for name, group in groups.items():
            options[name] = group(**{field.name: options.pop(field.name) for field in fields(group)})
        command(**options)

    options = [option for parameter in parameters for option in _options(parameter)]
    expanded.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # which typer reads, and so this
    expanded.__annotations__ = {option.name: option.annotation for option in options}
    return expanded


def _options(parameter: Parameter) -> Iterator[Parameter]:
    if not is_dataclass(parameter.annotation):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
        return
    hints = get_type_hints(parameter.annotation, include_extras=True)
    for field in fields(parameter.annotation):
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name])


def _default(field: Field[Any]) -> Any:
    return Parameter.empty if field.default is MISSING else field.default
