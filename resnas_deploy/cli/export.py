"""`resnas export`: from an architecture or a checkpoint to a verified artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.arch.inputs import INPUTS
from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.artifact.written_for import FOR_RUNNERS
from resnas_deploy.cli.build import say_engine
from resnas_deploy.cli.options import (
    MAX_SEED,
    RUNNER_NAMES,
    TARGETS,
    ArchOption,
    CalibrationImagesOption,
    CalibrationOption,
    DataOption,
    Json,
    MaxDropOption,
    OptimumOption,
    SubnetOption,
    Tf32Option,
    Threads,
    complete,
    finite,
)
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.cli.verification import failed_verification, print_headroom, say_kept
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting.reference_process import ahead
from resnas_deploy.precision import PRECISIONS

if TYPE_CHECKING:
    from resnas_deploy.api.export import Exported

_ALIGNMENTS = (*map(str, ALIGNMENTS), "auto")


def export(
    arch: ArchOption = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Weights (.safetensors).", metavar="FILE", show_default="untrained ones"),
    ] = None,
    subnet: SubnetOption = "",
    precision: Annotated[
        str,
        typer.Option(
            help="Of weights and activations: fp32, fp16, bf16, int8 or fp8.",
            metavar="NAME",
            show_default="fp32; fp16 for TensorRT",
            autocompletion=complete(PRECISIONS),
        ),
    ] = "",
    input: Annotated[  # noqa: A002  the option's name
        str,
        typer.Option(
            help="What the graph takes: float32, normalised images; or uint8, images as they are cropped, "
            "a quarter of the bytes.",
            metavar="|".join(INPUTS),
            autocompletion=complete(INPUTS),
        ),
    ] = "float32",
    target: Annotated[
        str,
        typer.Option(
            help="What to make: the graph alone (onnx), or an engine or a package of it too (resnas build has its "
            f"options): {', '.join(TARGETS[1:])}.",
            metavar="NAME",
            autocompletion=complete(TARGETS),
        ),
    ] = "onnx",
    for_runner: Annotated[
        str,
        typer.Option(
            "--for",
            help="int8: write the graph for this one runner, which is then faster: ort-cpu, with operators that no "
            "other knows; openvino, with attention's products quantised too.",
            metavar="RUNNER",
            show_default="any",
            autocompletion=complete(FOR_RUNNERS),
        ),
    ] = "",
    optimum: OptimumOption = None,
    tf32: Tf32Option = False,
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
    calibration: CalibrationOption = None,
    calibration_images: CalibrationImagesOption = None,
    data: DataOption = "",
    max_drop: MaxDropOption = 0.5,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="int8 and fp8: leave this element in higher precision, or a half of a block (stage1.block2.mlp); "
            "may be repeated.",
            metavar="ELEMENT",
            show_default="those that --max-drop asks for",
        ),
    ] = None,
    fallback_minutes: Annotated[
        float,
        typer.Option(
            help="int8 and fp8: how long to look for elements to leave so, where more than --max-drop is lost; "
            "0: not at all.",
            metavar="MINUTES",
            min=0,
            max=1440,
            callback=finite,
        ),
    ] = 60.0,
    attention: Annotated[
        str,
        typer.Option(
            help="int8 and fp8 for TensorRT and OpenVINO: whether the products of attention are in it too, or kept.",
            metavar="quantised|kept",
            show_default="quantised in fp8 and for OpenVINO",
            autocompletion=complete(("quantised", "kept")),
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder to write.", metavar="FOLDER", show_default="NAME-PRECISION[-alignN][-uint8][-RUNNER]"
        ),
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
    $ resnas export --arch small --precision fp16 --input uint8
    $ resnas export --checkpoint a.safetensors --precision int8 --data imagenet
    $ resnas export --arch small --precision int8 --keep stage1.block1
    $ resnas export --arch small --precision int8 --for ort-cpu
    """
    plain = target == "onnx" and precision in ("", "fp32") and not unverified
    with progress() as show, ahead(wanted=plain):
        show("loading")
        try:
            made = resnas.export(
                arch or None,
                out,
                checkpoint=checkpoint,
                subnet=subnet,
                precision=precision,
                input=input,
                target=target,
                optimum=optimum,
                tf32=tf32,
                for_runner=for_runner,
                spelling=spelling,
                batch=batch,
                image_size=image_size,
                align=align,
                calibration=calibration,
                calibration_images=calibration_images,
                data=data,
                max_drop=max_drop,
                keep=keep or (),
                fallback_minutes=fallback_minutes,
                attention=attention,
                force=force,
                class_names=class_names,
                seed=seed,
                verify_on=verify_on,
                unverified=unverified,
                keep_failed=keep_failed,
                threads=threads,
                progress=show,
            )
        except VerificationFailed as error:
            if as_json:
                print_json({"artifact": None, "error": str(error), "verification": failed_verification(error)})
            raise
    if as_json:
        print_json(made.to_json())
    else:
        _print(made)


def _print(made: Exported) -> None:
    manifest, size = made.manifest, made.graph.stat().st_size / 1e6
    say(f"{made.folder}: {manifest.label}, batch {manifest.batch}, {size:.0f} MB, in {made.seconds:.1f} s")
    say(f"verified: {manifest.verification}" if manifest.verification else "NOT VERIFIED, as asked")
    say_kept(manifest)
    print_headroom(manifest.verification)
    if made.built:
        say_engine(made.built)
        say(f"next: resnas inspect {made.built.engine.path}")
        return
    say(f"next: resnas predict {made.folder} IMAGE..   or   resnas bench {made.folder}")
