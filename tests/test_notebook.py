"""The notebook: it runs as it stands, shows what it should, and comes without outputs."""

from __future__ import annotations

import os
import subprocess
import sys

import nbformat
import pytest
from support.places import ROOT

NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
book = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(book, timeout=300, kernel_name="python3").execute()
nbformat.write(book, sys.argv[2])
"""


@pytest.fixture(scope="module")
def book():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_a_notebook_without_outputs(book):
    nbformat.validate(book)
    for cell in book.cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None), cell.id
    assert NOTEBOOK.read_text() == nbformat.writes(book) + "\n"  # as nbformat writes it, so that changes are small


def test_it_can_be_run_again_where_it_ran(book):
    lines = [line for cell in book.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    writing = [line for line in lines if ".export(" in line or ".plot(" in line]
    assert len(writing) > 2
    assert [line for line in writing if "force=True" not in line] == []


@pytest.mark.slow
def test_it_runs_as_it_stands(tmp_path):
    """In an empty folder, by a kernel of this environment; nothing of Jupyter's lands in the user's home."""
    homes = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("RUNTIME", "CONFIG", "DATA")}
    folder = tmp_path / "book"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", RUN, NOTEBOOK, tmp_path / "run.ipynb"],
        cwd=folder,
        env=os.environ | homes | {"OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = nbformat.read(tmp_path / "run.ipynb", as_version=4).cells
    shown = [str(output) for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/svg+xml" in output for output in shown)
    assert any("pullover.png" in output for output in shown)
    assert sum("text/html" in output for output in shown) >= 3  # what shows as a table
    assert {"clothes", "clothes-int8", "latency.svg"} <= {path.name for path in folder.iterdir()}
