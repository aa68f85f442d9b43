"""A model card and a bill of materials of an artifact."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.api.bench_tables import measurements_table
from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import MODEL, Artifact, open_artifact
from resnas_deploy.engines.finding import engines_in
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.outputs import check_apart, check_new_file, write_text
from resnas_deploy.measuring.report import read_report
from resnas_deploy.pages.table import Table
from resnas_deploy.publishing.card import CardFacts, model_card
from resnas_deploy.publishing.materials import bill_of_materials, check_materials

CARD = "README.md"  # what hubs show of a folder
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")


@dataclass(frozen=True)
class Card:
    """A model card that was written."""

    path: Path
    text: str  # Markdown, with the front matter of Hugging Face's hub
    sbom: Path | None = None  # the bill of materials, where one was asked for

    def to_json(self) -> dict[str, object]:
        """Return what `resnas card --json` prints."""
        return {"card": str(self.path), "sbom": str(self.sbom) if self.sbom else None}

    def _repr_markdown_(self) -> str:
        """Return what a notebook shows."""
        return self.text.partition("\n---\n")[2]


@checked
def card(
    artifact: str | Path | Artifact,
    *,
    out: str | Path = "",
    sbom: str | Path = "",
    license: str = "",  # noqa: A002  the hub's name for it
    bench: str | Path = "",
    force: bool = False,
) -> Card:
    """Write a model card for Hugging Face's hub from an artifact's manifest: what is recorded there, nothing else.

    Args:
        artifact: a folder, or an artifact that is open.
        out: the card's file; README.md in the artifact's folder where none is named.
        sbom: write a bill of materials to this file too, CycloneDX 1.6 as JSON; it needs `resnas[sbom]`.
        license: of the weights, by its SPDX identifier; without it the card says that it is not known.
        bench: a report of `bench()` with this graph in it (`out`), for a section on speed.
        force: replace files that are there.

    Raise `BadInput` for an artifact that is not whole, a report of other graphs, and files that are there.
    """
    opened = open_artifact(artifact)
    path = Path(out) if out else opened.folder / CARD
    if license and not _LICENSE.fullmatch(license):
        raise BadInput(f"`license` must be an identifier of SPDX, such as Apache-2.0, found {shown(license)}")
    check_apart(out=path, sbom=Path(sbom) if sbom else None)
    check_new_file(path, replace=force)
    if sbom:
        check_new_file(Path(sbom), replace=force, field="sbom")
        check_materials()
    measured = _measured(opened, Path(bench)) if bench else None
    accuracy = opened.checkpoint().accuracy
    text = model_card(CardFacts(opened, accuracy, engines_in(opened), measured, license.lower()))
    materials = bill_of_materials(opened, license) if sbom else ""
    write_text(path, text, replace=force)
    if sbom:
        write_text(Path(sbom), materials, replace=force)
    return Card(path, text, Path(sbom) if sbom else None)


def _measured(artifact: Artifact, path: Path) -> Table:
    """Return what a report says of the artifact's own graph. Raise `BadInput` where that is nothing."""
    report = read_report(path)
    own = tuple(item for item in report.measurements if item.configuration.digest == artifact.digest)
    if not own:
        raise BadInput(
            f"`bench` must be a report with {artifact.folder / MODEL} in it, found {path} of other graphs; measure it: "
            f"`bench()` with `out`"
        )
    return measurements_table(replace(report, measurements=own))
