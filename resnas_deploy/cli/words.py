"""The library's words as the command line's: `max_latency` is --max-latency, `triton.export()` is resnas triton export.

The one place where a field of a message becomes an option.
"""

from __future__ import annotations

import re

_NAMED = re.compile(r"`([a-z][a-z0-9_.]*)(\(\))?`")
# Parameters whose option, or argument, has another name. Each value is shown as it is.
_OTHERWISE = {
    "artifact": "ARTIFACT",
    "artifacts": "ARTIFACT..",
    "concurrencies": "--concurrency",
    "images": "IMAGES..",
    "protocols": "--protocol",
    "rates": "--rate",
}
_COMMANDS = {
    "arch": "archs NAME",
    "available_runners": "runners",
    "import_checkpoint": "import",
    "profile": "latency profile",
}


def spoken(message: str) -> str:
    """Return a message of the library with each parameter as the option that sets it, each function as its command."""
    return _NAMED.sub(_word, message)


def _word(match: re.Match[str]) -> str:
    name, is_function = match.groups()
    if is_function:
        return f"resnas {_COMMANDS.get(name, name).replace('.', ' ')}"
    return _OTHERWISE.get(name, f"--{name.replace('_', '-')}")
