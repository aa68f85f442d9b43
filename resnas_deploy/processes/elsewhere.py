"""What this system cannot do, said in one line before anything is begun."""

from __future__ import annotations

from resnas_deploy.errors import NotAvailable
from resnas_deploy.system import here


def require_linux(what: str) -> None:
    """Raise `NotAvailable` on another system. `what` begins the message: something that nothing else can do."""
    if here.NAME != "Linux":
        raise NotAvailable(f"{what} needs Linux, found {here.NAME}; use a machine or a container of Linux")
