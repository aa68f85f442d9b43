"""The library's words as the command line's: `max_latency` is --max-latency, `triton.export()` is resnas triton export.

The one place where a field of a message becomes an option.
"""

from __future__ import annotations

import ast
import re
import shlex

_NAMED = re.compile(r"`([a-z][a-z0-9_.]*)(?:\(([^`]*)\))?`")
# Parameters whose option, or argument, has another name. Each value is shown as it is.
_OTHERWISE = {
    "artifact": "ARTIFACT",
    "artifacts": "ARTIFACT..",
    "batches": "--batch",
    "concurrencies": "--concurrency",
    "file": "FILE",
    "for_runner": "--for",
    "images": "IMAGES..",
    "peers": "--peer",
    "precisions": "--precision",
    "profiles": "--profile",
    "protocols": "--protocol",
    "rates": "--rate",
    "runners": "--runner",
    "settings": "--set",
    "sources": "CHECKPOINT|ARTIFACT..",
    "steps": "--step",
}
_COMMANDS = {
    "available_runners": "runners",
    "gpu_report": "gpu-report",
    "import_checkpoint": "import",
    "read_arch": "archs NAME",
    "profile": "latency profile",
}


def spoken(message: str) -> str:
    """Return a message of the library with each parameter as the option that sets it, each function as its command."""
    return _NAMED.sub(_word, message)


def _word(match: re.Match[str]) -> str:
    name, arguments = match.groups()
    if arguments is None:
        return _option(name)
    command = f"resnas {_COMMANDS.get(name, name).replace('.', ' ')}"
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        given = {item.arg: ast.literal_eval(item.value) for item in call.keywords}  # type: ignore[attr-defined]  # a call
    except (SyntaxError, ValueError):  # a message that was shortened
        return match[0]
    return " ".join([command, *(_given(name or "", value) for name, value in given.items())])


def _given(name: str, value: object) -> str:
    option = _option(name)
    if not option.startswith("--"):  # an argument has no name on the command line; ".." is for the reader to fill in
        return option if value == ".." else shlex.quote(str(value))
    return option if value is True else f"{option} {shlex.quote(str(value))}"


def _option(name: str) -> str:
    return _OTHERWISE.get(name, f"--{name.replace('_', '-')}")
