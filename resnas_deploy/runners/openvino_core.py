"""OpenVINO's entrance, one for the process."""

from __future__ import annotations

from functools import cache
from typing import Any

from resnas_deploy.processes.quiet import load


@cache
def openvino_core() -> Any:
    """The `Core` that everything uses and nothing closes.

    The CPU plugin of each sets the stack that signals are handled on, and sets the one before back when it goes. Where
    the first of two goes first, the stack that stays is one that was freed, and the next signal ends the process
    (seen in OpenVINO 2026.4).
    """
    return load("openvino").Core()
