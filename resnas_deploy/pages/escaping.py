"""What may stand in a page: texts of any origin, and data."""

from __future__ import annotations

import html
import json


def text(content: str) -> str:
    """Return a text as HTML shows it, in attributes too; what cannot be shown becomes a question mark."""
    return html.escape("".join(c if c.isprintable() or c == "\n" else "?" for c in content))


def data(content: object) -> str:
    """Return JSON that can stand in a `script` element: ASCII, and nothing in it ends the element or begins a tag."""
    plain = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return plain.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def rounded(number: float, digits: int = 5) -> float:
    """Return a number with as many significant digits as a chart needs, so that pages stay small."""
    return float(f"{number:.{digits}g}")
