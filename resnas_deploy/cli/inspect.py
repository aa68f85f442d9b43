"""`resnas inspect`: what a file or an artifact is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.arch.alignment import macs_added
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.cli.headroom import print_headroom
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, print_table, say
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.weights.arch_files import read_arch
from resnas_deploy.weights.vit_search.network_def import format_network_def

if TYPE_CHECKING:
    from resnas_deploy.arch.spec import ArchSpec
    from resnas_deploy.artifact.artifact import Artifact


def inspect(
    path: Annotated[
        str,
        typer.Argument(
            help="An artifact, an engine, a checkpoint, an architecture's file, or a published name.",
            show_default=False,
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show what an artifact, an engine, a checkpoint or an architecture is: parts, cost, origin, kernels, operators.

    Examples:
    $ resnas inspect small-fp32
    $ resnas inspect found.safetensors
    $ resnas inspect small-fp16/engines/3514cb55.engine
    """
    if path not in PUBLISHED and not Path(path).exists():
        raise BadInput(
            "what is inspected must be an artifact's folder, an engine (.engine, .pt2), a checkpoint (.safetensors), "
            f"an architecture's file or one of {', '.join(PUBLISHED)}, found no {shown(path)}"
        )
    if Path(path).is_dir():
        from resnas_deploy.artifact.artifact import open_artifact

        _artifact(open_artifact(Path(path)), as_json)
    elif path.endswith((".engine", ".pt2")):
        _engine(Path(path), as_json)
    elif path.endswith((".pth", ".pth.tar", ".pt", ".tar")):
        raise BadInput(f"{path} must be a checkpoint of ours (.safetensors), found a .pth; convert it: resnas import")
    elif path.endswith(".safetensors"):
        from resnas_deploy.weights.checkpoint import load

        checkpoint = load(Path(path))
        if as_json:
            origin = {"provenance": checkpoint.provenance.to_json(), "weights_sha256": checkpoint.digest}
            print_json(_described(path, checkpoint.arch) | origin)
            return
        _print_arch(path, checkpoint.arch)
        say(f"tensors: {len(checkpoint.tensors)}, {checkpoint.nbytes / 1e6:.1f} MB, sha256 {checkpoint.digest}")
        _print_history(checkpoint.provenance.history)
    else:
        arch = read_arch(path)
        if as_json:
            print_json(_described(path, arch))
            return
        _print_arch(path, arch)


def _engine(path: Path, as_json: bool) -> None:
    from resnas_deploy.cli.build import describe, print_proof
    from resnas_deploy.engines.store import open_engine

    engine = open_engine(path)
    if as_json:
        print_json({"engine": str(path), "report": dict(engine.report)})
        return
    say(describe(engine))
    print_proof(engine.report)


def _artifact(artifact: Artifact, as_json: bool) -> None:
    from resnas_deploy.artifact.graph import read_graph

    manifest = artifact.manifest
    graph = read_graph(artifact).graph
    operators = dict(sorted(Counter(node.op_type for node in graph.node).items()))
    if as_json:
        found = {"manifest": manifest.to_json(), "operators": operators}
        print_json(_described(str(artifact.folder), manifest.arch) | found)
        return
    _print_arch(manifest.label, manifest.arch)
    say(f"batch: {manifest.batch}")
    if manifest.alignment > 1:
        added = macs_added(manifest.arch, manifest.alignment)
        say(f"alignment: widths of the graph padded to multiples of {manifest.alignment}, {added:.1%} more MACs")
    say(f"verification: {manifest.verification or 'UNVERIFIED'}")
    print_headroom(manifest.verification)
    for name, digest in manifest.files.items():
        say(f"{name}: {artifact.file(name).stat().st_size / 1e6:.1f} MB, sha256 {digest}")
    _print_history(manifest.provenance.history)
    say(f"operators: {', '.join(f'{count} {operator}' for operator, count in operators.items())}")
    for kept in manifest.kept_in_fp32:
        say(f"kept in fp32: {kept}")


def _print_arch(title: str, arch: ArchSpec) -> None:
    from resnas_deploy.arch import cost
    from resnas_deploy.arch.elements import BlockElement, HeadElement, ReductionElement, elements

    rows = []
    for element, part in zip(elements(arch), cost.breakdown(arch), strict=True):
        shape = {
            BlockElement: lambda e: f"{e.width}: {e.block.heads} heads x {e.block.head_dim}, hidden {e.block.hidden}",
            ReductionElement: lambda e: f"{e.width} -> {e.out_width}",
            HeadElement: lambda e: f"{e.width} -> {e.classes}",
        }.get(type(element), lambda e: f"3 -> {e.width}")(element)
        rows.append((element.name, shape, f"{part.macs / 1e6:.1f}", f"{part.parameters:,}"))
    total = _cost(arch)
    rows.append(("total", f"{arch.image_size} pixels", f"{total['macs'] / 1e6:.1f}", f"{total['parameters']:,}"))
    print_table(title, ("element", "dimensions", "MMACs", "parameters"), rows, text_columns=2)
    say(f"fingerprint: {arch.fingerprint}")


def _described(name: str, arch: ArchSpec) -> dict[str, object]:
    return {
        "name": name,
        "fingerprint": arch.fingerprint,
        "cost": _cost(arch),
        "arch": arch.to_json(),
        "network_def": format_network_def(Subnet.whole(arch)),
    }


def _cost(arch: ArchSpec) -> dict[str, int]:
    from resnas_deploy.arch import cost

    return {
        "macs": cost.macs(arch),
        "parameters": cost.parameters(arch),
        "weight_bytes_fp32": cost.weight_bytes(arch),
        "activation_bytes_fp32": cost.activation_bytes(arch),
    }


def _print_history(history: tuple[str, ...]) -> None:
    for line in history:
        say(f"weights: {line}")
