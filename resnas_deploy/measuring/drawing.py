"""Drawing: PNG, SVG, or a page of HTML that needs no other file."""

from __future__ import annotations

import html
import importlib.util
import io
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.files.outputs import output_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".html")
_DPI = 150
# A palette that people with any colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def check_plot(path: Path) -> None:
    """Raise `BadInput` for another suffix, `NotAvailable` without matplotlib: before anything is measured."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"a plot must end in {', '.join(SUFFIXES)}, found {path}")
    if importlib.util.find_spec("matplotlib") is None:
        raise NotAvailable(
            "plots are drawn by the package matplotlib, which is not installed", "pip install matplotlib"
        )


def plain(text: str) -> str:
    """Text that matplotlib draws as it is: no formula, nothing that XML forbids, no name that legends leave out."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def new_figure(panels: int) -> tuple[Figure, Any]:
    """A figure with that many axes beside each other."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells at length of a home that cannot be written
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * panels, 4.5), layout="constrained")
    return figure, figure.subplots(1, panels)


def write_figure(
    figure: Figure, path: Path, title: str, table: Sequence[Sequence[str]], *, replace: bool = True
) -> None:
    """Write it in the form that the suffix names; a page holds the table too, whose first row is its head."""
    suffix = path.suffix.lower()
    drawn = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it draws a box for it
        figure.savefig(drawn, format="png" if suffix == ".png" else "svg", dpi=_DPI)
    content = drawn.getvalue()
    if suffix == ".html":
        content = _page(title, content.decode(), table).encode()
    with output_file(path, replace=replace) as partial:
        partial.write_bytes(content)


def _page(title: str, svg: str, table: Sequence[Sequence[str]]) -> str:
    """A page with the drawing and its figures; names come from files and may hold anything."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = "\n".join([row(table[0], "th"), *(row(cells, "td") for cells in table[1:])])
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        "<style>body{font:14px sans-serif;margin:2em}svg{max-width:100%;height:auto}"
        "td,th{padding:.2em .8em;text-align:right}td:first-child,th:first-child{text-align:left}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n{svg[svg.index('<svg') :]}\n<table>{rows}</table>\n</html>\n"
    )
