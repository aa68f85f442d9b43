"""Write the tables and figures of README and docs from the result files: `make docs`.

A page has `<!-- table: NAME -->` and `<!-- end -->` around a table, and `<!-- figure: NAME -->` and `<!-- end -->`
around words in a sentence. What stands between them is what the function of that name returns.
"""

from __future__ import annotations

import re
from pathlib import Path

import compatibility_tables
import gpu_tables
import install_tables
import predict_tables
import quantised_tables
import reference
import search_tables
import serving_tables
import shaping_tables
import spaces_tables
import tables
import throughput_tables
import tradeoff_tables
from evidence import pictures as evidence_pictures
from evidence import shown as evidence_shown
from tabulated import ROOT

TABLES = (
    tables.TABLES
    | quantised_tables.TABLES
    | serving_tables.TABLES
    | search_tables.TABLES
    | gpu_tables.TABLES
    | tradeoff_tables.TABLES
    | spaces_tables.TABLES
    | throughput_tables.TABLES
    | install_tables.TABLES
    | predict_tables.TABLES
    | reference.TABLES
    | compatibility_tables.TABLES
    | shaping_tables.TABLES
    | evidence_shown.TABLES
)
FIGURES = (
    tables.FIGURES
    | quantised_tables.FIGURES
    | serving_tables.FIGURES
    | shaping_tables.FIGURES
    | spaces_tables.FIGURES
    | evidence_shown.FIGURES
)
PICTURES = {tradeoff_tables.PICTURE: tradeoff_tables.drawn} | evidence_pictures.PICTURES
_BLOCK = re.compile(r"<!-- (table|figure): (\S+) -->.*?<!-- end -->", re.DOTALL)


def pages() -> list[Path]:
    """Return the files that may have generated blocks."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def written(text: str) -> str:
    """Return a page with what its blocks should hold."""

    def block(found: re.Match[str]) -> str:
        kind, name = found.groups()
        content = f"\n{TABLES[name]()}\n" if kind == "table" else FIGURES[name]()
        return f"<!-- {kind}: {name} -->{content}<!-- end -->"

    return _BLOCK.sub(block, text)


if __name__ == "__main__":
    for page in pages():
        text = page.read_text()
        if (new := written(text)) != text:
            page.write_text(new)
            print(f"{page.relative_to(ROOT)} was written")
    for picture, drawn in PICTURES.items():
        text = drawn()
        if not picture.is_file() or picture.read_text() != text:
            picture.write_text(text)
            print(f"{picture.relative_to(ROOT)} was drawn")
