"""Memory that was freed, given back to the system: the C library keeps much of it for what is asked for next."""

from __future__ import annotations

from resnas_deploy.system import here


def give_back_memory() -> None:
    """Give back what can be."""
    here.give_back_memory()
