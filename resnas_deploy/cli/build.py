"""`resnas build`: an engine from an artifact, and what became of each part of the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import (
    COMPATIBILITY,
    ENGINE_TARGETS,
    ArtifactArgument,
    Json,
    OptimumOption,
    Tf32Option,
    complete,
)
from resnas_deploy.cli.output import print_json, print_table, progress, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resnas_deploy.engines.build import Built
    from resnas_deploy.engines.store import Engine

TargetOption = Annotated[
    str,
    typer.Option(help="The builder.", metavar="|".join(ENGINE_TARGETS), autocompletion=complete(ENGINE_TARGETS)),
]
CapabilityOption = Annotated[
    str,
    typer.Option(
        help="GPUs to build for: compute capabilities (7.5, 8.6, 8.9, 12.0, 12.1), or portable: 8.6, 8.9 and 12.0.",
        metavar="LIST",
        show_default="portable; with tensorrt the GPU that is here",
    ),
]


def build(
    artifact: ArtifactArgument,
    target: TargetOption = "tensorrt-rtx",
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Batch sizes that the engine takes and is tuned for; of several sizes, a profile for each. May be "
            "given more than once.",
            metavar="LEAST:USUAL:MOST|N,N,..",
            show_default="one of the artifact's range",
        ),
    ] = None,
    optimum: OptimumOption = None,
    capability: CapabilityOption = "",
    workspace: Annotated[
        str, typer.Option(help="The most scratch memory.", metavar="SIZE", show_default="the builder's limit")
    ] = "",
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="Runs on later versions of the runtime too.", metavar="")
    ] = False,
    timing_cache: Annotated[
        Path | None,
        typer.Option(help="Read and extend this cache of timings (tensorrt).", metavar="FILE", show_default="none"),
    ] = None,
    tf32: Tf32Option = False,
    device: Annotated[
        str,
        typer.Option(
            help="The GPU to build for, or what an aoti package runs on.",
            metavar="cpu|cuda:N",
            show_default="cuda:0, cpu for aoti",
        ),
    ] = "",
    refittable: Annotated[
        bool, typer.Option("--refittable", help="Can be given other weights later, by resnas refit.", metavar="")
    ] = False,
    strip_weights: Annotated[
        bool, typer.Option("--strip-weights", help="Keep it without weights, which resnas refit puts in.", metavar="")
    ] = False,
    hardware_compatibility: Annotated[
        str,
        typer.Option(
            help="GPUs that it runs on (tensorrt).",
            metavar="|".join(COMPATIBILITY),
            show_default="the GPU that is here",
        ),
    ] = "",
    sparse_weights: Annotated[
        bool,
        typer.Option("--sparse-weights", help="Use kernels for 2:4 sparse weights, which they must be.", metavar=""),
    ] = False,
    level: Annotated[
        int | None,
        typer.Option(
            help="How long to look for faster kernels (tensorrt).",
            min=0,
            max=5,
            metavar="0..5",
            show_default="the builder's, 3",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Build an engine from an artifact, and keep it there with a report of its layers.

    The engine's name is the hash of all that it is made of and for; where that very engine is there, nothing is built.

    Examples:
    $ resnas build small-fp16
    $ resnas build small-fp16 --optimum 32
    $ resnas build small-fp16 --profile 1,8,64
    $ resnas build small-fp16 --capability 8.9,12.0 --profile 1 --profile 1:16:64
    $ resnas build small-fp16 --target tensorrt --device cuda:1
    $ resnas build small-fp32 --target aoti
    $ resnas build small-fp16 --target ort-tensorrt
    $ resnas build small-int8 --target openvino --profile 1
    """
    with progress() as show:
        show("checking the files")
        built = resnas.build(
            artifact,
            target=target,
            profiles=profile or (),
            optimum=optimum,
            capability=capability,
            workspace=workspace,
            version_compatible=version_compatible,
            timing_cache=timing_cache,
            tf32=tf32,
            device=device,
            refittable=refittable,
            strip_weights=strip_weights,
            hardware_compatibility=hardware_compatibility,
            sparse_weights=sparse_weights,
            level=level,
            progress=show,
        )
    if as_json:
        print_json(built.to_json())
        return
    say_engine(built)
    print_proof(built.engine.report)


def say_engine(built: Built) -> None:
    """Print one line on an engine that was built or found."""
    report = built.engine.report
    how = "was there already, nothing was built" if built.cached else f"built in {report['seconds']:.1f} s"
    say(f"{describe(built.engine)}, {how}")


def describe(engine: Engine) -> str:
    """Return what an engine is, in one line."""
    from resnas_deploy.engines.identity import profiles_text
    from resnas_deploy.engines.store import all_bytes

    report = engine.report
    made = report["identity"]
    precision = f"{made['precision']}, TF32" if made.get("tf32") else made["precision"]
    return (
        f"{engine.path}: {made['builder']}, {precision}, batch {profiles_text(made)}, "
        f"{_place(made)}, {all_bytes(report) / 1e6:.0f} MB"
    )


def print_proof(report: Mapping[str, Any]) -> None:
    """Print what was checked of an engine: its layers, or its logits."""
    from resnas_deploy.engines.targets import OPENVINO, ORT

    if "layers" in report:
        print_layers(report["layers"], len(report["identity"]["profiles"]))
    else:
        found = report["parity"]
        say(
            f"verified: error {found['error']:.1e} of tolerance {found['tolerance']:.0e} on {found['images']} images "
            f"of noise (against {found['against']})"
        )
        if report["identity"]["target"] == ORT:
            say('load it: onnxruntime.InferenceSession("FILE.onnx", providers=["TensorrtExecutionProvider"])')
            return
        if report["identity"]["target"] == OPENVINO:
            # Float32 that is not told so OpenVINO computes in bf16 where the CPU has AMX.
            is_wide = report["identity"]["precision"] in ("fp32", "int8")
            told = ', {"INFERENCE_PRECISION_HINT": "f32"}' if is_wide else ""
            say(f'load it, FILE.bin beside it: openvino.Core().compile_model("FILE.xml", "CPU"{told})')
            return
        if (rounds := report["identity"].get("tf32")) is not None:
            say(f"before it is loaded and run: torch.backends.cudnn.allow_tf32 = {rounds}")
            say(f"and: torch.backends.cuda.matmul.allow_tf32 = {rounds}")
        say('load it: torch._inductor.aoti_load_package("FILE.pt2")(images): those that the artifact takes, to logits')


def print_layers(layers: Mapping[str, Any], profiles: int) -> None:
    """Print what became of each part of the network, in an engine of so many profiles."""
    rows = [
        (
            part["element"],
            str(part["kernels"]),
            str(part["shared"] or ""),
            ", ".join(part["precisions"]),
            {True: "one kernel", False: "NOT FUSED", None: ""}[part.get("fused_attention")],
        )
        for part in layers["parts"]
    ]
    rows.append(("all", str(layers["kernels"]), "", ", ".join(f"{n} {p}" for p, n in layers["precisions"].items()), ""))
    sums = f"; sums over {profiles} profiles" if profiles > 1 else ""
    print_table(
        f"Kernels (shared: those that work for a neighbour too{sums})",
        ("element", "kernels", "shared", "precision", "attention"),
        rows,
    )


def _place(made: Mapping[str, Any]) -> str:
    from resnas_deploy.engines.identity import place_of

    place = place_of(made)
    if made["device"]:
        return f"for {place}"
    return place if isinstance(made["capabilities"], str) else f"compute capability {place}"
