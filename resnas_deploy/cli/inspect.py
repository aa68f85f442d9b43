"""`resnas inspect`: what a file or an artifact is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.arch.alignment import macs_added
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.cli.build import describe, print_proof
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, progress, say, show_table
from resnas_deploy.cli.verification import print_headroom, say_kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resnas_deploy.api.inspect import Inspected
    from resnas_deploy.artifact.artifact import Artifact


def inspect(
    path: Annotated[
        str,
        typer.Argument(
            help="An artifact, an engine, any ONNX file, a checkpoint, an architecture's file, or a published name.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show what an artifact, an engine, a checkpoint or an architecture is: parts, cost, origin, kernels, operators.

    Of a bare ONNX file, whoever made it, it shows ends, operators, weights, and what cannot be known.

    Examples:
    $ resnas inspect small-fp32
    $ resnas inspect found.safetensors
    $ resnas inspect small-fp16/engines/3514cb55.engine
    $ resnas inspect mine.onnx
    """
    with progress() as show:
        show(f"reading {path}")
        found = resnas.inspect(path)
    if as_json:
        print_json(found.to_json())
        return
    from resnas_deploy.api.inspect import InspectedEngine
    from resnas_deploy.api.inspect_file import InspectedFile

    if isinstance(found, InspectedFile):
        show_table(found.table())
        for line in found.lines():
            say(line)
    elif isinstance(found, InspectedEngine):
        say(describe(found.engine))
        print_proof(found.engine.report)
        if found.problem:
            say(f"it cannot be run here: {found.problem}")
        else:
            say(f"run it: resnas bench {found.engine.path} (predict, verify and compare take it too)")
    else:
        _print(found)


def _print(found: Inspected) -> None:
    show_table(found.table())
    say(f"fingerprint: {found.arch.fingerprint}")
    if weights := found.checkpoint:
        say(f"tensors: {len(weights.tensors)}, {weights.nbytes / 1e6:.1f} MB, sha256 {weights.digest}")
        _print_history(weights.provenance.history)
    if space := found.space:
        from resnas_deploy.arch.space_size import counted

        say(f"supernet of the space {space.name}, {counted(space)}")
    if found.artifact:
        _print_artifact(found.artifact, found.operators)
        if (engines := found.engines_table()).rows:
            show_table(engines)


def _print_artifact(artifact: Artifact, operators: Mapping[str, int]) -> None:
    manifest = artifact.manifest
    say(f"batch: {manifest.batch}")
    say(f"input: {input_named(manifest.input).describe(manifest.arch.image_size)}")
    if manifest.for_runner:
        say(f"runner: {manifest.for_runner} alone, which the graph is written for")
    if manifest.alignment > 1:
        added = macs_added(manifest.arch, manifest.alignment)
        say(f"alignment: widths of the graph padded to multiples of {manifest.alignment}, {added:.1%} more MACs")
    say(f"verification: {manifest.verification or 'UNVERIFIED'}")
    say_kept(manifest)
    print_headroom(manifest.verification)
    for name, digest in manifest.files.items():
        say(f"{name}: {artifact.file(name).stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    _print_history(manifest.provenance.history)
    say(f"operators: {', '.join(f'{count} {operator}' for operator, count in operators.items())}")
    for kept in manifest.kept_in_fp32:
        say(f"kept in fp32: {kept}")


def _print_history(history: tuple[str, ...]) -> None:
    for line in history:
        say(f"weights: {line}")
