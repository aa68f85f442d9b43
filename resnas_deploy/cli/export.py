"""`resnas export`: from an architecture or a checkpoint to a verified artifact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.options import (
    RUNNER_NAMES,
    ArchOption,
    Json,
    Threads,
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
        Path | None, typer.Option(help="Weights (.safetensors).", show_default="untrained, seeded")
    ] = None,
    subnet: Annotated[
        str, typer.Option(help="Slice this subnet (a network_def, text or file) out of a supernet's checkpoint.")
    ] = "",
    precision: Annotated[
        str, typer.Option(help=" | ".join(_PRECISIONS), autocompletion=lambda: list(_PRECISIONS))
    ] = "fp32",
    batch: Annotated[str, typer.Option(help="Batch sizes: a range such as 1:64, or one size.")] = "1:64",
    image_size: Annotated[
        int, typer.Option(help="Pixels a side; positions are resized bicubically.", show_default="the network's")
    ] = 0,
    out: Annotated[Path | None, typer.Option(help="The folder to write.", show_default="NAME-PRECISION")] = None,
    force: Annotated[bool, typer.Option(help="Replace an artifact that is there.")] = False,
    class_names: Annotated[
        Path | None,
        typer.Option(help="Text file, a class a line.", show_default="ImageNet's, for 1000 classes"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of untrained weights.", min=0)] = 0,
    verify_on: Annotated[
        str,
        typer.Option(
            help="The runner that the graph is verified on.",
            show_default="the first that can",
            autocompletion=lambda: list(RUNNER_NAMES),
        ),
    ] = "",
    unverified: Annotated[bool, typer.Option(help="Do not verify; the manifest and every table say so.")] = False,
    keep_failed: Annotated[
        bool, typer.Option(help="Where verification fails, keep the artifact as OUT.failed.")
    ] = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Write an ONNX graph, verify it against the PyTorch module, and pack it as an artifact.

    Without a checkpoint the weights are random: good for latency work, and marked as untrained.

    Examples:
        resnas export --arch small

        resnas export --checkpoint searched.safetensors --precision fp16 --batch 1:32 --out searched-fp16

        resnas export --checkpoint supernet.safetensors --subnet found.txt --image-size 280
    """
    started = time.perf_counter()
    if not arch and checkpoint is None:
        raise BadInput("an export must have --arch or --checkpoint, found neither; try: resnas export --arch small")
    if precision not in _PRECISIONS:
        raise BadInput(f"--precision must be one of {', '.join(_PRECISIONS)}, found {precision!r}")
    from resnas_deploy.batch import BatchRange

    if subnet and checkpoint is None:
        raise BadInput("--subnet must come with the --checkpoint of a supernet, found no checkpoint")
    batches = BatchRange.parse(batch)
    with progress() as tell:
        tell("loading")
        from resnas_deploy.export.pipeline import Request, check_verifiable
        from resnas_deploy.export.pipeline import export as run
        from resnas_deploy.runners.registry import default_runner, runner_kind

        kind = None
        if not unverified:
            kind = runner_kind(verify_on) if verify_on else default_runner(precision)
            check_verifiable(kind, precision)
        name = _name(arch, checkpoint, subnet)
        request = Request(
            name=name,
            precision=precision,
            batch=batches,
            class_names=class_names,
            out=out or Path(f"{name}-{precision}"),
            force=force,
            verify_on=kind,
            keep_failed=keep_failed,
            threads=threads_or_all(threads),
        )
        artifact = run(lambda: _weights(arch, checkpoint, subnet, image_size, seed), request, tell)
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


def _weights(arch: str, checkpoint: Path | None, subnet: str, image_size: int, seed: int) -> Checkpoint:
    """The weights that the options name, at the asked image size."""
    from resnas_deploy.checkpoint import load
    from resnas_deploy.resize import resize
    from resnas_deploy.slicing import slice_subnet
    from resnas_deploy.untrained import untrained

    if checkpoint is None:
        spec = read_arch(arch)
        return untrained(spec.with_image_size(image_size) if image_size else spec, seed)
    weights = load(checkpoint)
    if subnet:
        weights = slice_subnet(weights, read_subnet(subnet, weights.arch.image_size, weights.arch.patch_size))
    if arch:
        _check_same(read_arch(arch), arch, weights, checkpoint)
    return resize(weights, image_size) if image_size else weights


def _check_same(spec: ArchSpec, arch: str, weights: Checkpoint, checkpoint: Path) -> None:
    """The weights must be those of `--arch`, apart from the image size."""
    from resnas_deploy.tensors import differences

    spec = spec.with_image_size(weights.arch.image_size)
    if spec != weights.arch:
        lines = differences({name: tensor.shape for name, tensor in weights.tensors.items()}, spec)
        raise BadInput(
            f"{checkpoint} must hold the weights of --arch {arch}, found another network's: "
            f"{'; '.join(lines[:3]) or 'the same tensors, but heads of other widths'}"
        )
