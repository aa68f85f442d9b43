"""`resnas export`: from an architecture or a checkpoint to a verified artifact."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.cli.build import engine_json, say_engine
from resnas_deploy.cli.choosing import with_auto_alignment, with_auto_spelling
from resnas_deploy.cli.headroom import print_headroom
from resnas_deploy.cli.options import (
    MAX_SEED,
    MAX_SIDE,
    RUNNER_NAMES,
    TARGETS,
    ArchOption,
    DataOption,
    Json,
    MaxDropOption,
    Threads,
    complete,
    read_arch,
    read_definition,
    report_of,
    threads_or_all,
)
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.errors import BadInput, VerificationFailed, shown
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.weights.vit_search.network_def import parse_network_def

if TYPE_CHECKING:
    from resnas_deploy.arch.spec import ArchSpec, Subnet
    from resnas_deploy.engines.targets import Target
    from resnas_deploy.weights.checkpoint import Checkpoint

AUTO = "auto"
_ALIGNMENTS = (*map(str, ALIGNMENTS), AUTO)


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
            help="Of weights and activations: fp32, fp16, bf16, int8 or fp8.",
            metavar="NAME",
            show_default="fp32; fp16 for TensorRT",
            autocompletion=complete(PRECISIONS),
        ),
    ] = "",
    target: Annotated[
        str,
        typer.Option(
            help="What to make: the graph alone (onnx), or an engine or a package of it too (resnas build has its "
            f"options): {', '.join(TARGETS[1:])}.",
            metavar="NAME",
            autocompletion=complete(TARGETS),
        ),
    ] = "onnx",
    spelling: Annotated[
        str,
        typer.Option(
            help="The operators that the graph is written with; auto: the fastest here, or the fewest kernels.",
            metavar="NAME|auto",
            show_default="the target's",
        ),
    ] = "",
    batch: Annotated[str, typer.Option(help="A range of batch sizes, or one size.", metavar="N:M|N")] = "1:64",
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Pixels a side; positions are resized bicubically.",
            metavar="N",
            min=1,
            max=MAX_SIDE,
            show_default="the network's",
        ),
    ] = None,
    align: Annotated[
        str,
        typer.Option(
            help="Pad widths with zeros to multiples: the same logits, sometimes faster; auto: if measured so here.",
            metavar="|".join(_ALIGNMENTS),
            show_default="1, which pads nothing",
            autocompletion=complete(_ALIGNMENTS),
        ),
    ] = "1",
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="int8 and fp8: pictures, or an array of normalised images, to learn ranges from.",
            metavar="FOLDER|FILE.npy",
            show_default="built-in pictures",
        ),
    ] = None,
    calibration_images: Annotated[
        int | None, typer.Option(help="How many of them.", metavar="N", min=1, max=100_000, show_default="128")
    ] = None,
    data: DataOption = "",
    max_drop: MaxDropOption = 0.5,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write.", metavar="FOLDER", show_default="NAME-PRECISION[-alignN]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an artifact that is there.", metavar="")] = False,
    class_names: Annotated[
        Path | None,
        typer.Option(help="A text file, a class a line.", metavar="FILE", show_default="ImageNet's, for 1000 classes"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of untrained weights.", metavar="N", min=0, max=MAX_SEED, show_default="0")
    ] = None,
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
    """Write an ONNX graph, verify it against the PyTorch module, and pack it as an artifact, with an engine if asked.

    Without a checkpoint the weights are random: good for latency work, and marked as untrained.

    Examples:
    $ resnas export --arch small
    $ resnas export --checkpoint found.safetensors --precision fp16 --batch 1:32
    $ resnas export --checkpoint supernet.safetensors --subnet found.txt
    $ resnas export --arch small --target tensorrt-rtx
    $ resnas export --checkpoint a.safetensors --precision int8 --data imagenet
    """
    started = time.perf_counter()
    _check_combination(arch, checkpoint, subnet, seed, verify_on, unverified)
    spec = read_arch(arch) if arch else None
    definition = read_definition(subnet) if subnet else ""
    batches = BatchRange.parse(batch)
    if align not in _ALIGNMENTS:
        raise BadInput(f"--align must be one of {', '.join(_ALIGNMENTS)} (1: nothing is padded), found {shown(align)}")
    with progress() as tell:
        tell("loading")
        from resnas_deploy.exporting import source
        from resnas_deploy.exporting.calibration import DEFAULT_IMAGES
        from resnas_deploy.exporting.export import Request, unchanged
        from resnas_deploy.exporting.export import export as run
        from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT, spelling_named
        from resnas_deploy.precision import QUANTISED, check_precision
        from resnas_deploy.runners.registry import graph_runner, runner_kind

        builder = _builder(target)
        for_gpu = builder is not None and builder.name != "aoti"  # which is made of the weights, not of the graph
        precision = precision or ("fp16" if for_gpu else "fp32")
        if calibration_images and precision not in QUANTISED:
            raise BadInput(
                f"--calibration-images must come with {' or '.join(QUANTISED)}, found --precision {precision}"
            )
        check_precision(precision)  # before a runner is looked for that knows it
        if builder:
            from resnas_deploy.engines.build import build_engine, check_buildable
            from resnas_deploy.engines.options import BuildOptions

            check_buildable(builder, precision, BuildOptions())

        def weights() -> Checkpoint:
            if checkpoint:
                return source.from_checkpoint(checkpoint, inside if definition else None, spec, image_size)
            return source.seeded(spec or read_arch(arch), seed or 0, image_size)

        def inside(supernet: ArchSpec) -> Subnet:
            return parse_network_def(definition, image_size=supernet.image_size, patch_size=supernet.patch_size)

        name, usual = _name(arch, checkpoint, subnet), FOR_TENSORRT if for_gpu else FOR_RUNTIMES
        request = Request(
            name=name,
            precision=precision,
            align=1 if align == AUTO else int(align),
            batch=batches,
            for_engine=for_gpu,
            calibration=calibration,
            calibration_images=calibration_images or DEFAULT_IMAGES,
            data=data,
            max_drop=max_drop,
            spelling=usual if spelling in ("", AUTO) else spelling_named(spelling),
            class_names=class_names,
            out=out or Path(f"{name}-{precision}" + (f"-align{align}" if align != "1" else "")),
            force=force,
            verify_on=None if unverified else graph_runner(verify_on, precision),
            keep_failed=keep_failed,
            threads=threads_or_all(threads),
        )
        kind = runner_kind(target) if for_gpu else request.verify_on or graph_runner("", precision)
        if spelling == AUTO:
            request = with_auto_spelling(request, weights, kind, builder, tell)
        if align == AUTO:
            request = with_auto_alignment(request, weights, kind, tell)
        try:
            artifact = (unchanged(weights, request, tell) if builder else None) or run(weights, request, tell)
        except VerificationFailed as error:
            if as_json:
                print_json({"artifact": None, "error": str(error), "verification": report_of(error)})
            raise
        built = build_engine(artifact, builder, BuildOptions(), tell) if builder else None
    manifest, seconds = artifact.manifest, time.perf_counter() - started
    if as_json:
        described = {"artifact": str(artifact.folder), "seconds": seconds, "manifest": manifest.to_json()}
        print_json(described | (engine_json(built) if built else {}))
        return
    size = artifact.graph.stat().st_size / 1e6
    say(f"{artifact.folder}: {manifest.label}, batch {manifest.batch}, {size:.0f} MB, in {seconds:.1f} s")
    say(f"verified: {manifest.verification}" if manifest.verification else "NOT VERIFIED, as asked")
    print_headroom(manifest.verification)
    if built:
        say_engine(built)
        say(f"next: resnas inspect {built.engine.path}")
        return
    say(f"next: resnas predict {artifact.folder} IMAGE..   or   resnas bench {artifact.folder}")


def _builder(name: str) -> Target | None:
    from resnas_deploy.engines.targets import target_named

    if name == "onnx":
        return None
    if name not in TARGETS:
        raise BadInput(f"--target must be one of {', '.join(TARGETS)}, found {shown(name)}")
    return target_named(name)


def _check_combination(
    arch: str, checkpoint: Path | None, subnet: str, seed: int | None, verify_on: str, unverified: bool
) -> None:
    """Refuse options that would be ignored."""
    if not arch and checkpoint is None:
        raise BadInput("an export must have --arch or --checkpoint, found neither; try: resnas export --arch small")
    if subnet and checkpoint is None:
        raise BadInput("--subnet must come with the --checkpoint of a supernet, found no checkpoint")
    if seed is not None and checkpoint:
        raise BadInput("--seed must come without --checkpoint, since it is that of untrained weights, found both")
    if unverified and verify_on:
        raise BadInput("--verify-on must come without --unverified, found both")


def _name(arch: str, checkpoint: Path | None, subnet: str) -> str:
    if arch:
        return arch if arch in PUBLISHED else Path(arch).stem
    name = checkpoint.stem if checkpoint else ""
    return f"{name}-subnet" if subnet else name
