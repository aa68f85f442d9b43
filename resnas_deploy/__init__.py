"""resnas: export, verify, measure, train and search ViT-ResNAS networks (arXiv 2109.00642) for deployment.

Data flows one way: arch -> weights -> graph -> artifact -> engine -> measurement -> search. The names below are the
public API (docs/python.md); each is loaded when it is first asked for, so that importing this costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnas_deploy.version import __version__ as __version__

if TYPE_CHECKING:
    pass

# The public names and their homes: a function or a class as MODULE:NAME, a namespace as a module.
_HOMES: dict[str, str] = {}


def __getattr__(name: str) -> object:
    """Load a public name from its home (PEP 562)."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    home = import_module(module)
    value: object = getattr(home, attribute) if attribute else home
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
