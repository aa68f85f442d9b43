"""A search's finalists, measured on a node of a Ray cluster: the folder stays here, and its files travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from resnas_deploy.artifact.artifact import MANIFEST
from resnas_deploy.files.outputs import claiming
from resnas_deploy.files.reading import parse_json
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.progress import Progress, headed, silent
from resnas_deploy.searching.device_node import DeviceNode
from resnas_deploy.searching.found import ANCHOR, NAME_THE_SEARCH, Found, read_found
from resnas_deploy.searching.measured import (
    MEASURED,
    Measured,
    figures_there,
    measure,
    measured_from,
    waiting,
)

Files = Mapping[str, bytes]  # by their paths in a search's folder


def measure_there(node: DeviceNode, folder: Path, progress: Progress = silent, *, again: bool = False) -> Measured:
    """Measure the finalists of a search on the node, as `measure` does on the machine that it is called on.

    Raise what `measure` raises there.
    """
    found = read_found(folder)
    with claiming(folder, resume=True, remedy=NAME_THE_SEARCH):
        measured = None if again else figures_there(folder, found)
        while group := waiting(found, measured):
            some = replace(found, finalists=group)
            heading = headed(f"{len(group)} finalists: ", progress)
            text = node.run(_measure, some, _files(folder, some), progress=heading)
            figures = measured_from(parse_json(text, "what the node measured"), found, Path(MEASURED))
            measured = replace(figures, reports=(*(measured.reports if measured else ()), *figures.reports))
            measured.write(folder)
    return measured or Measured(found.setting, ())


def _files(folder: Path, found: Found) -> Files:
    """Read the artifacts that are measured together, each of whose files was compared with its hash."""
    artifacts = {item.artifact: item.opened(folder) for item in found.finalists}
    if found.anchor:
        artifacts[ANCHOR] = found.anchor.opened(folder)
    return {
        f"{place}/{name}": artifact.file(name).read_bytes()
        for place, artifact in artifacts.items()
        for name in (MANIFEST, *artifact.manifest.files)
    }


def _measure(found: Found, files: Files) -> str:
    """Measure on this node. Ray calls it there."""
    with scratch_folder("finalists") as scratch:
        folder = scratch / "found"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        found.write(folder)
        measure(folder)
        return (folder / MEASURED).read_text(encoding="utf-8")
