"""`resnas card`: a model card and a bill of materials of an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import ArtifactArgument, Json
from resnas_deploy.cli.output import print_json, progress, say


def card(
    artifact: ArtifactArgument,
    out: Annotated[
        str,
        typer.Option(help="The card's file.", metavar="FILE.md", show_default="README.md in the artifact's folder"),
    ] = "",
    sbom: Annotated[
        str,
        typer.Option(
            help="Write a bill of materials too: CycloneDX 1.6, JSON.", metavar="FILE.json", show_default="none"
        ),
    ] = "",
    license: Annotated[  # noqa: A002  the option's name
        str,
        typer.Option(
            help="The weights' licence, by its SPDX identifier.",
            metavar="ID",
            show_default="the card says that it is not known",
        ),
    ] = "",
    bench: Annotated[
        str,
        typer.Option(
            help="A report of resnas bench --out with this artifact in it, for a section on speed.",
            metavar="FILE.json",
            show_default="none",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a model card for Hugging Face's hub from an artifact's manifest: what is recorded there, nothing else.

    It names the network, what it takes and gives, where the weights come from, what was verified, engines, and files
    with their hashes; where a figure was never measured, it says so.

    Examples:
    $ resnas card small-int8
    $ resnas card small-int8 --license apache-2.0 --sbom small-int8/sbom.cdx.json
    $ resnas card small-int8 --bench bench.json --force
    """
    with progress() as show:
        show("reading the artifact")
        written = resnas.card(artifact, out=out, sbom=sbom, license=license, bench=bench, force=force)
    if as_json:
        print_json(written.to_json())
        return
    say(f"written: {written.path}")
    if written.sbom:
        say(f"written: {written.sbom}")
    say(f"next: resnas sign {Path(artifact)} --private-key KEY.pem   so that whoever gets it knows from whom it is")
