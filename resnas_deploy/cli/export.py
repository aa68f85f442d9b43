"""`resnas export`: from an architecture or a checkpoint to a verified artifact."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.options import (
    RUNNER_NAMES,
    ArchOption,
    Json,
    Threads,
    complete,
    read_arch,
    read_subnet,
    threads_or_all,
)
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.errors import BadInput
from resnas_deploy.published import PUBLISHED

if TYPE_CHECKING:
    from resnas_deploy.arch import ArchSpec
    from resnas_deploy.checkpoint import Checkpoint

_PRECISIONS = ("fp32", "fp16", "bf16")


def export(
    arch: ArchOption = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Weights (.safetensors).", metavar="FILE", show_default="untrained ones"),
    ] = None,
    subnet: Annotated[
        str,
        typer.Option(
            help="Slice this subnet (a network_def) out of the checkpoint of a supernet.", metavar="FILE|TEXT"
        ),
    ] = "",
    precision: Annotated[
        str,
        typer.Option(
            help="Of weights and activations.", metavar="|".join(_PRECISIONS), autocompletion=complete(_PRECISIONS)
        ),
    ] = "fp32",
    batch: Annotated[str, typer.Option(help="A range of batch sizes, or one size.", metavar="N:M|N")] = "1:64",
    image_size: Annotated[
        int,
        typer.Option(
            help="Pixels a side; positions are resized bicubically.", metavar="N", show_default="the network's"
        ),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write.", metavar="FOLDER", show_default="NAME-PRECISION")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an artifact that is there.", metavar="")] = False,
    class_names: Annotated[
        Path | None,
        typer.Option(help="A text file, a class a line.", metavar="FILE", show_default="ImageNet's, for 1000 classes"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of untrained weights.", metavar="N", min=0)] = 0,
    verify_on: Annotated[
        str,
        typer.Option(
            help="The runtime that the graph is verified on.",
            metavar="NAME",
            show_default="the first that can",
            autocompletion=complete(RUNNER_NAMES),
        ),
    ] = "",
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Do not verify; the manifest and every table say so.", metavar="")
    ] = False,
    keep_failed: Annotated[
        bool,
        typer.Option("--keep-failed", help="Where verification fails, keep the artifact as OUT.failed.", metavar=""),
    ] = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Write an ONNX graph, verify it against the PyTorch module, and pack it as an artifact.

    Without a checkpoint the weights are random: good for latency work, and marked as untrained.

    Examples:
    $ resnas export --arch small
    $ resnas export --checkpoint found.safetensors --precision fp16 --batch 1:32
    $ resnas export --checkpoint supernet.safetensors --subnet found.txt
    """
    started = time.perf_counter()
    if checkpoint:
        weights = partial(_load, checkpoint, subnet, read_arch(arch) if arch else None, image_size)
    elif subnet:
        raise BadInput("--subnet must come with the --checkpoint of a supernet, found no checkpoint")
    elif arch:
        weights = partial(_make, read_arch(arch), image_size, seed)
    else:
        raise BadInput("an export must have --arch or --checkpoint, found neither; try: resnas export --arch small")
    if precision not in _PRECISIONS:
        raise BadInput(f"--precision must be one of {', '.join(_PRECISIONS)}, found {precision!r}")
    from resnas_deploy.batch import BatchRange

    batches = BatchRange.parse(batch)
    with progress() as tell:
        tell("loading")
        from resnas_deploy.artifact import check_replaceable
        from resnas_deploy.export.pipeline import Request, check_verifiable, failed_name
        from resnas_deploy.export.pipeline import export as run
        from resnas_deploy.runners.registry import graph_runner

        kind = None if unverified else graph_runner(verify_on, precision)
        if kind:
            check_verifiable(kind, precision)
        name = _name(arch, checkpoint, subnet)
        folder = out or Path(f"{name}-{precision}")
        if keep_failed and folder.name:
            check_replaceable(failed_name(folder))
        request = Request(
            name=name,
            precision=precision,
            batch=batches,
            class_names=class_names,
            out=folder,
            force=force,
            verify_on=kind,
            keep_failed=keep_failed,
            threads=threads_or_all(threads),
        )
        artifact = run(weights, request, tell)
    manifest, seconds = artifact.manifest, time.perf_counter() - started
    if as_json:
        print_json({"artifact": str(artifact.folder), "seconds": seconds, "manifest": manifest.to_json()})
        return
    size = artifact.model.stat().st_size / 1e6
    say(f"{artifact.folder}: {manifest.label}, batch {manifest.batch}, {size:.0f} MB, in {seconds:.1f} s")
    say(f"verified: {manifest.verification}" if manifest.verification else "NOT VERIFIED, as asked")
    say(f"next: resnas predict {artifact.folder} IMAGE..   or   resnas bench {artifact.folder}")


def _name(arch: str, checkpoint: Path | None, subnet: str) -> str:
    if arch:
        return arch if arch in PUBLISHED else Path(arch).stem
    name = checkpoint.stem if checkpoint else ""
    return f"{name}-subnet" if subnet else name


def _make(spec: ArchSpec, image_size: int, seed: int) -> Checkpoint:
    """Untrained weights, at the asked image size."""
    from resnas_deploy.untrained import untrained

    spec = spec.with_image_size(image_size) if image_size else spec
    _check_size(spec.image_size)
    return untrained(spec, seed)


def _load(checkpoint: Path, subnet: str, spec: ArchSpec | None, image_size: int) -> Checkpoint:
    """The checkpoint's weights or those of a subnet in it, which must be of `spec` if given, at the asked size."""
    from resnas_deploy.checkpoint import load
    from resnas_deploy.resize import resize
    from resnas_deploy.slicing import slice_subnet

    weights = load(checkpoint)
    if subnet:
        weights = slice_subnet(weights, read_subnet(subnet, weights.arch.image_size, weights.arch.patch_size))
    if spec:
        _check_same(spec, weights, checkpoint)
    _check_size(image_size)
    return resize(weights, image_size) if image_size else weights


def _check_size(image_size: int) -> None:
    """Refuse images that preprocessing cannot make, before the gigabytes of their position table are asked for."""
    from resnas_deploy.preprocessing import MAX_SIDE

    largest = MAX_SIDE * 224 // 256  # images are resized to 256/224 of this, then cropped
    if image_size > largest:
        raise BadInput(f"image_size must be at most {largest} pixels, found {image_size}")


def _check_same(spec: ArchSpec, weights: Checkpoint, checkpoint: Path) -> None:
    """The weights must be those of `--arch`, apart from the image size."""
    from resnas_deploy.tensors import differences

    spec = spec.with_image_size(weights.arch.image_size)
    if spec != weights.arch:
        lines = differences({name: tensor.shape for name, tensor in weights.tensors.items()}, spec)
        raise BadInput(
            f"{checkpoint} must hold the weights of --arch, found another network's: "
            f"{'; '.join(lines[:3]) or 'the same tensors, but heads of other widths'}"
        )
