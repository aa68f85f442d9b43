"""The entrance of packages that report to their makers: through it they keep silent, unless the user asked them to.

Some send what was run on which machine, and leave an identifier in HOME for it. ONNX Runtime decides when it is
imported, OpenVINO sends while it is, so both must be told before. `OFF` are the switches that they read.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from resnas_deploy.errors import BadInput, first_line

# A variable that the user has set to something stays: it may say that reports are wanted. An empty one says nothing.
OFF = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime since 1.32, to mobile.events.data.microsoft.com
    "HF_HUB_DISABLE_TELEMETRY": "1",  # huggingface_hub and transformers, to huggingface.co
    "RAY_USAGE_STATS_ENABLED": "0",  # Ray, to usage-stats.ray.io
    "MLFLOW_DISABLE_TELEMETRY": "true",  # MLflow since 3.2, to its makers
    "WANDB_ERROR_REPORTING": "false",  # Weights & Biases' client, which sends its crashes to its makers
}
# For a process that is all ours: of the hub's packages, only configurations are used, and no file of anybody.
OFFLINE = {"HF_HUB_OFFLINE": "1"}

_OPENVINO, _OPENVINO_SENDER = "openvino", "openvino_telemetry"
_OPENVINO_CONSENT = Path("intel") / "openvino_telemetry"  # in HOME; `opt_in_out --opt_in` writes 1 there
_importing = threading.RLock()


def import_quietly(name: str) -> Any:
    """Import a package, or a module of one, that would report to its maker; told not to first.

    Raise `BadInput` where the package refuses to be imported for another reason than a missing part of it: a variable
    of the environment that it reads, of which its own words tell.
    """
    turn_off(os.environ)
    try:
        if name.partition(".")[0] != _OPENVINO or _openvino_may_send():
            return importlib.import_module(name)
        with _importing, _hidden(_OPENVINO_SENDER):
            return importlib.import_module(name)
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"the package {name} must be importable, found: {first_line(error)}; is a variable of it wrong?"
        ) from error


def turn_off(environment: MutableMapping[str, str], *, ours: bool = False) -> None:
    """Set the switches in an environment, which child processes inherit. `ours` where no other program lives in it."""
    for name, value in (OFF | OFFLINE if ours else OFF).items():
        if not environment.get(name):
            environment[name] = value


def _openvino_may_send() -> bool:
    """Whether the user opted in. There is no variable for it, and without a word OpenVINO sends."""
    try:
        return (Path.home() / _OPENVINO_CONSENT).read_text(encoding="utf-8").strip() == "1"
    except (OSError, RuntimeError, UnicodeDecodeError):  # no home, or no such file
        return False


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let a package that is not imported yet be missing: OpenVINO has a silent stand-in for its sender."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # as the import system documents it
    try:
        yield
    finally:
        sys.modules.pop(name, None)
