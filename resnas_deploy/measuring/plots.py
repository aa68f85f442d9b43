"""Plots as PNG, SVG, or a page of HTML that needs no other file: what all rooms draw theirs with."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnas_deploy.errors import BadInput, PackageMissing
from resnas_deploy.files.outputs import output_file
from resnas_deploy.pages.page import Drawing, Page
from resnas_deploy.pages.table import Table
from resnas_deploy.processes.loggers import errors_only

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".html")
_DPI = 150
# A palette that people with any colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def check_plot(path: Path, *, moving: bool = False) -> None:
    """Raise `BadInput` for another suffix, `NotAvailable` without matplotlib: before anything is measured.

    A `moving` page is drawn by its own script.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"a plot must end in {', '.join(SUFFIXES)}, found {path}")
    if moving and is_page(path):
        return
    if importlib.util.find_spec("matplotlib") is None:
        raise PackageMissing(
            "plots are drawn by the package matplotlib, which is not installed", "pip install matplotlib"
        )


def is_page(path: Path) -> bool:
    """Whether a plot there is a page of HTML."""
    return path.suffix.lower() == ".html"


def plain(text: str) -> str:
    """Return a text that matplotlib draws as it is: no formula, nothing that XML forbids, nothing that legends omit."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def new_figure(panels: int) -> tuple[Figure, Any]:
    """Return a figure with that many axes beside each other."""
    with errors_only("matplotlib"):  # which tells at length of a home that cannot be written
        from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * panels, 4.5), layout="constrained")
    return figure, figure.subplots(1, panels)


def write_figure(
    figure: Figure, path: Path, title: str, table: Sequence[Sequence[str]], *, replace: bool = True
) -> None:
    """Write it in the form that the suffix names; a page holds the table too, whose first row is its head."""
    content = _drawn(figure, "png" if path.suffix.lower() == ".png" else "svg")
    if is_page(path):
        content = Page(title, (Drawing(_element(content)), Table("", table[0], table[1:]))).html().encode()
    with output_file(path, replace=replace) as partial:
        partial.write_bytes(content)


def as_svg(figure: Figure) -> str:
    """Return a figure as an element of a page of HTML."""
    return _element(_drawn(figure, "svg"))


def _drawn(figure: Figure, form: str) -> bytes:
    drawn = io.BytesIO()
    with errors_only("matplotlib"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it draws a box for it
        figure.savefig(drawn, format=form, dpi=_DPI)
    return drawn.getvalue()


def _element(svg: bytes) -> str:
    """Return the element of an SVG file, without what stands before it."""
    text = svg.decode()
    return text[text.index("<svg") :]
