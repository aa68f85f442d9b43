"""What this system cannot do, said in one line before anything is begun."""

from __future__ import annotations

from resnas_deploy.errors import NotAvailable
from resnas_deploy.system import here


def require_linux(what: str) -> None:
    """Raise `NotAvailable` on another system. `what` begins the message: something that is done on Linux alone."""
    if here.NAME != "Linux":
        raise NotAvailable(f"{what} must be done on Linux, found {here.NAME}; use a machine or a container of Linux")
