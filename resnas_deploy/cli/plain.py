"""What terminals and files that know no UTF-8 are given: plain letters instead of signs, codes for other characters."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

HANDLER = "resnas-plain"  # the name of the error handler, as `TextIOWrapper.reconfigure` takes it
_NAMES = ("C", "POSIX")
# Our own signs, and those of rich's tables, bars and spinners, as what stands for them.
_PLAIN = {
    "±": "+-",
    "…": "..",
    "•": "*",
    **dict.fromkeys("─━╸╺", "-"),
    **dict.fromkeys("│┃", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    **dict(zip("▁▂▃▄▅▆▇█", "_..--==#", strict=True)),
}


def register() -> None:
    """Make the handler known to Python."""
    codecs.register_error(HANDLER, _written)


def _written(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return what is written instead of what an encoding does not have: a plain sign, or its code."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(_PLAIN.get(sign) or ascii(sign)[1:-1] for sign in found), error.end


def knows_ascii_alone(environment: Mapping[str, str]) -> bool:
    """Return whether the user's locale is C or POSIX by name: Python writes UTF-8 then, whatever the terminal takes.

    LC_ALL counts before LC_CTYPE, and that before LANG (POSIX.1-2017, 8.2). Python itself sets LC_CTYPE to a UTF-8 one
    where none is set (PEP 538). A locale that is not set at all says nothing: containers have none, and terminals that
    take UTF-8.
    """
    if locale := environment.get("LC_ALL"):
        return locale in _NAMES
    if environment.get("LC_CTYPE", "") not in ("", "C.UTF-8", "C.utf8", "UTF-8", *_NAMES):
        return False
    return environment.get("LANG") in _NAMES
