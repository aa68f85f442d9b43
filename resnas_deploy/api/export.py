"""Exporting: from an architecture or a checkpoint to a verified artifact, with an engine if asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.api.artifact import Artifact
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.arch.inputs import FLOAT32, input_named
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.written_for import FOR_RUNNERS, OPENVINO
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.build import Built, build_engine, check_buildable, check_for_here
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import FOR_CPUS, TARGETS, Target
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.exporting.calibration import DEFAULT_IMAGES
from resnas_deploy.exporting.export import export as write_artifact
from resnas_deploy.exporting.request import Request, attention_named
from resnas_deploy.exporting.source import read_source
from resnas_deploy.exporting.unchanged import unchanged
from resnas_deploy.graph.spelling import spelling_named
from resnas_deploy.precision import QUANTISED, check_precision
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import graph_runner, runner_kind
from resnas_deploy.weights.checkpoint import Checkpoint

AUTO, GRAPH = "auto", "onnx"


@dataclass(frozen=True)
class Exported(Artifact):
    """An artifact that was just made, with the engine that was asked for."""

    seconds: float = 0.0  # that it took
    built: Built | None = None

    def to_json(self) -> dict[str, object]:
        """Return what `resnas export --json` prints."""
        engine = self.built.to_json() if self.built else {}
        return {"artifact": str(self.folder), "seconds": self.seconds, "manifest": self.manifest.to_json()} | engine


@checked
def export(
    arch: str | Path | ArchSpec | None = None,
    out: str | Path | None = None,
    *,
    checkpoint: str | Path | Checkpoint | None = None,
    subnet: str | Path = "",
    precision: str = "",
    input: str = FLOAT32.name,  # noqa: A002  what users call it
    target: str = GRAPH,
    optimum: int | None = None,
    tf32: bool = False,
    for_runner: str = "",
    spelling: str = "",
    batch: str | int = "1:64",
    image_size: int | None = None,
    align: int | str = 1,
    calibration: str | Path | None = None,
    calibration_images: int | None = None,
    data: str | Path = "",
    max_drop: float = 0.5,
    keep: Sequence[str] = (),
    fallback_minutes: float = 60.0,
    attention: str = "",
    force: bool = False,
    class_names: str | Path | None = None,
    seed: int | None = None,
    verify_on: str = "",
    unverified: bool = False,
    keep_failed: bool = False,
    threads: int = 0,
    progress: Progress = silent,
) -> Exported:
    """Write an ONNX graph, verify it against the PyTorch module, and pack it as an artifact, with an engine if asked.

    Args:
        arch: a published name, a file (JSON or a `network_def`), or an `ArchSpec`. Without a checkpoint the weights are
            random: good for latency work, and marked as untrained.
        out: the folder to write; NAME-PRECISION where none is given.
        checkpoint: weights, as a .safetensors file or in memory.
        subnet: a `network_def`, or a file with one: slice this subnet out of the checkpoint of a supernet.
        precision: fp32, fp16, bf16, int8 or fp8; where none is given fp32, or fp16 for TensorRT.
        input: what the graph takes: float32, normalised images (B, 3, S, S); or uint8, images as they are cropped,
            (B, S, S, 3), a quarter of the bytes: normalising is then part of the graph.
        target: what to make: the graph alone (onnx), or an engine of it too (tensorrt-rtx, tensorrt, aoti,
            ort-tensorrt, openvino).
        optimum: with tensorrt-rtx and tensorrt: the batch that the engine is tuned for: what will be served. The
            largest of the range where none is given.
        tf32: of the engine: whether float32 may be rounded to TF32 on a GPU.
        for_runner: with int8, write the graph for this one runner, which is then faster; others refuse it. ort-cpu:
            with operators that no other knows; openvino: with attention's products quantised too, as with the target
            openvino. Any runner may run the graph where none is named.
        spelling: the operators that the graph is written with; the target's where none is given; auto: the fastest
            here, or the one of the fewest kernels.
        batch: a range of batch sizes such as "1:64", or one size.
        image_size: pixels a side; the network's own where none is given. Positions are resized bicubically.
        align: pad widths with zeros to multiples of 8, 16, 32 or 64: the same logits; auto: if measured faster here.
        calibration: int8 and fp8: a folder of images, or a .npy of them as the graph takes them: normalised, float32
            (N, 3, S, S), or with `input` uint8 as they are cropped, uint8 (N, S, S, 3).
        calibration_images: how many of them; 128 where no number is given.
        data: int8 and fp8: labelled images to compare accuracy on: demo, or a folder with train/ and val/.
        max_drop: int8 and fp8: percentage points of top-1 that may be lost. Where more is, the elements that add most
            to the error are left in higher precision, at most half of them.
        keep: int8 and fp8: elements to leave in higher precision, such as "stage1.block2", or a half of a block,
            "stage1.block2.attention" or "stage1.block2.mlp".
        fallback_minutes: how long to look for the elements that must be left so; 0: for none, and the export fails.
        attention: int8 and fp8, for TensorRT and OpenVINO: whether its two products are "quantised" too where a builder
            still makes one kernel of them, or "kept" as what is around; where nothing is given, quantised in fp8 and
            for OpenVINO, and kept in int8 for TensorRT.
        force: replace an artifact that is there.
        class_names: a text file, a class a line.
        seed: of untrained weights; 0 where none is given.
        verify_on: the runner that the graph is verified on; the first that can where none is named.
        unverified: do not verify; the manifest says so.
        keep_failed: where verification fails, keep the artifact as OUT.failed.
        threads: of the CPU; 0 takes every core.
        progress: told what is being done.

    Raise `BadInput` for what is wrong or does not go together, `NotAvailable` where a runtime or a builder is missing,
    `StorageError` where the folder cannot be written, and `VerificationFailed` where the graph does not compute what
    the module does; then nothing is written.
    """
    started = time.perf_counter()
    source = read_source(arch, checkpoint, subnet, seed, image_size)
    if unverified and verify_on:
        raise BadInput("`verify_on` must come without `unverified`, found both")
    batches, alignment = BatchRange.parse(str(batch)), _alignment(align)
    builder = _builder(target)
    if builder and for_runner not in ("", builder.name):
        raise BadInput(
            f"`for_runner` must come without a `target`, whose engines another runner runs, found {for_runner} and "
            f"{target}; leave one out"
        )
    for_gpu = builder is not None and builder.name not in FOR_CPUS
    precision = check_precision(precision or ("fp16" if for_gpu else "fp32"))
    if builder and builder.name == OPENVINO and precision == "int8":
        for_runner = OPENVINO
    if calibration_images and precision not in QUANTISED:
        raise BadInput(f"`calibration_images` must come with {' or '.join(QUANTISED)}, found `precision` {precision}")
    if optimum is not None and not for_gpu:
        raise BadInput(f"`optimum` must come with a `target` of TensorRT's, which tunes an engine, found {target}")
    options = BuildOptions(optimum=optimum, tf32=tf32)
    if tf32 and not builder:
        raise BadInput("`tf32` is of an engine, found none to be made; give `target`, or leave `tf32` out")
    if builder:
        check_buildable(builder, precision, options)
        options.for_artifact(batches)  # which says what does not lie in the range
    request = Request(
        name=source.name,
        precision=precision,
        input=input_named(input).name,
        align=alignment or 1,
        batch=batches,
        for_engine=for_gpu,
        for_runner=for_runner,
        calibration=Path(calibration) if calibration else None,
        calibration_images=calibration_images or DEFAULT_IMAGES,
        data=str(data),
        max_drop=max_drop,
        keep=tuple(keep),
        fallback_minutes=fallback_minutes,
        attention=attention_named(attention),
        spelling=None if spelling in ("", AUTO) else spelling_named(spelling),
        class_names=Path(class_names) if class_names else None,
        out=Path(out or f"{source.name}-{precision}" + _suffix(align if alignment != 1 else "", input, for_runner)),
        force=force,
        verify_on=None if unverified else _verified_on(verify_on, precision, for_runner),
        keep_failed=keep_failed,
        threads=threads,
    )
    if spelling == AUTO or alignment is None:
        from resnas_deploy.measuring.choosing import with_auto_alignment, with_auto_spelling  # imports SciPy

        kind = runner_kind(target) if for_gpu else request.verify_on or graph_runner(for_runner, precision)
        if spelling == AUTO:
            request = with_auto_spelling(request, source.load, kind, builder, progress)
        if alignment is None:
            request = with_auto_alignment(request, source.load, kind, progress)
    there = unchanged(source.load, request, progress) if builder else None
    artifact = there or write_artifact(source.load, request, progress)
    built = build_engine(artifact, builder, options, progress) if builder else None
    return replace(Exported.of(artifact), seconds=time.perf_counter() - started, built=built)


def _suffix(align: int | str, taken: str, for_runner: str) -> str:
    """Return how the usual name ends of an artifact that is aligned, takes no float32, or is for one runner."""
    ends = (f"align{align}" if align else "", taken if taken != FLOAT32.name else "", for_runner)
    return "".join(f"-{end}" for end in ends if end)


def _verified_on(name: str, precision: str, for_runner: str) -> RunnerKind:
    """Return the runner to verify a graph on: the one that is named, or that it is written for, or the first."""
    usual = for_runner if for_runner in FOR_RUNNERS else ""  # the request refuses others
    return graph_runner(name or usual, precision, what="`verify_on`")


def _builder(target: str) -> Target | None:
    if target == GRAPH:
        return None
    if target not in TARGETS:
        raise BadInput(f"`target` must be one of {', '.join((GRAPH, *TARGETS))}, found {shown(target)}")
    check_for_here(TARGETS[target])
    return TARGETS[target]


def _alignment(align: int | str) -> int | None:
    """Return the multiple, or None for auto."""
    known = {str(multiple): multiple for multiple in ALIGNMENTS} | {AUTO: None}
    if str(align) not in known:
        raise BadInput(f"`align` must be one of {', '.join(known)} (1: nothing is padded), found {shown(str(align))}")
    return known[str(align)]
