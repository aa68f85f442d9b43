"""Builds an engine from an artifact, proves what it became, and keeps it in the artifact."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines import store
from resnas_deploy.engines.asked import check_asked
from resnas_deploy.engines.builder_process import compile_engine
from resnas_deploy.engines.inspector import parse_inspection
from resnas_deploy.engines.layers import parse_layers
from resnas_deploy.engines.options import (
    BuildOptions,
    engine_id,
    engine_identity,
    rounds,
)
from resnas_deploy.engines.recorded import LayerReport
from resnas_deploy.engines.report import allowed_in, graph_nodes, layer_report
from resnas_deploy.engines.request import builder_request
from resnas_deploy.engines.sparsity import check_sparse
from resnas_deploy.engines.targets import AOTI, FOR_CPUS, OPENVINO, ORT, PORTABLE, RTX, Target
from resnas_deploy.errors import BadInput, NotAvailable, VerificationFailed
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.outputs import check_writable
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.progress import Progress
from resnas_deploy.runners.devices import (
    CPU,
    CUDA,
    device_name,
    gpu_problem,
    gpus,
    index,
    is_gpu,
    precision_problem,
    unfit_for_rtx,
)
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.runners.tf32 import check_override, check_rounds

_OF_A_PACKAGE = 8
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Built:
    """An engine, and whether it was there already."""

    engine: store.Engine
    cached: bool

    def to_json(self) -> dict[str, object]:
        """Return the engine's path, whether it was there, and its report as plain data for JSON."""
        return {"engine": str(self.engine.path), "cached": self.cached, "report": dict(self.engine.report)}


def build_engine(
    artifact: Artifact, target: Target, options: BuildOptions, progress: Progress, failed_log: Path | None = None
) -> Built:
    """Return the engine of that artifact for that target: the one that is there, or a new one.

    The log of a build that failed is kept at `failed_log`, or beside the artifact. Raise `BadInput` where the engine
    cannot be built, `NotAvailable` where the builder or its GPU is missing, and `VerificationFailed` where a layer fell
    back to a higher precision; then no engine is kept.
    """
    check_for_engines(artifact, target)
    made_of = identity_here(artifact, target, options)
    options = _ranged(target, options, artifact.batch)
    check_tf32(target, artifact.precision, artifact.manifest.type, options)
    if options.timing_cache:
        check_writable(options.timing_cache)
    path = store.engine_path(artifact.folder, engine_id(made_of), target.suffix)
    if found := store.find(path):  # which nothing needs to be written for
        return Built(found, cached=True)
    if options.sparse_weights:
        from resnas_deploy.artifact.graph import read_graph  # imports onnx

        progress(f"2:4 sparse: {check_sparse(read_graph(artifact))}")
    progress("waiting for another build of this artifact")
    with store.building(artifact.folder):
        if found := store.find(path):
            return Built(found, cached=True)
        started = time.perf_counter()
        with atomic_file(path) as partial:
            if target.name == AOTI:
                from resnas_deploy.engines.aoti import make_package

                proof = {"parity": make_package(artifact, options, partial, progress)}
            elif target.name == OPENVINO:
                from resnas_deploy.engines.openvino_ir import make_ir

                proof = {"parity": make_ir(artifact, made_of, options, path, partial, progress)}
            elif target.name == ORT:
                from resnas_deploy.engines.proof import Unproved, prove

                log = failed_log or store.failed_log(artifact.folder, "build")
                compile_engine(_request(artifact, target, options), partial, log, progress)
                proof = {"parity": prove(artifact, Unproved(partial, made_of), options, progress)}
            else:
                log = failed_log or store.failed_log(artifact.folder, "build")
                proof = {"layers": _compile(artifact, target, options, partial, log, progress).to_json()}
        described = {"identity": made_of, "seconds": time.perf_counter() - started, **proof}
        return Built(store.save_engine_report(path, described), cached=False)


def identity_here(artifact: Artifact, target: Target, options: BuildOptions) -> Mapping[str, object]:
    """Return what an engine that is built here would be. Raise `BadInput` or `NotAvailable` as `check_buildable`."""
    builder, device = check_buildable(target, artifact.precision, options)
    return engine_identity(artifact, target, builder, device, _ranged(target, options, artifact.batch))


def _ranged(target: Target, options: BuildOptions, batch: BatchRange) -> BuildOptions:
    """Return the options with their profiles. A package is tuned for no batch; its identity has always said 8."""
    if target.name == AOTI:
        options = replace(options, optimum=batch.nearest(_OF_A_PACKAGE))
    return options.for_artifact(batch)


def _compile(
    artifact: Artifact, target: Target, options: BuildOptions, out: Path, failed_log: Path, progress: Progress
) -> LayerReport:
    from resnas_deploy.artifact.graph import read_structure  # imports onnx

    with scratch_folder("engine") if target.needs_gpu else nullcontext() as folder:
        listed = folder / "listings.json" if folder else None
        request = _request(artifact, target, options) | {"listings": str(listed) if listed else None}
        log = compile_engine(request, out, failed_log, progress)
        progress("reading the layers")
        # Where the builder had a GPU, the engine itself was asked; its log is the only account where it had none.
        found = parse_inspection(json.loads(listed.read_text("utf-8"))) if listed else parse_layers(log)
    layers = layer_report(
        found,
        graph_nodes(read_structure(artifact), artifact.arch),
        artifact.arch,
        allowed_in(artifact.precision),
        tf32=options.tf32,
    )
    _check(layers, artifact.precision)
    return layers


def check_for_engines(artifact: Artifact, target: Target) -> None:
    """Raise `BadInput` where an artifact's graph is written for one runner, which loads no engine of that target."""
    if artifact.for_runner and artifact.for_runner != target.name:
        raise BadInput(
            f"an engine must be built of a graph for any runner, found {artifact.source} written for "
            f"{artifact.for_runner}; export it without `for_runner`"
        )


def check_buildable(target: Target, precision: str, options: BuildOptions) -> tuple[str, str]:
    """Return the builder's version and the GPU that it builds for. Raise `BadInput` or `NotAvailable` if it cannot."""
    target.check(precision, options.capabilities)
    check_asked(target, options)
    if options.timing_cache and not target.needs_gpu:
        raise BadInput(f"the target {target.name} times nothing while it builds; leave `timing_cache` out")
    if options.device and not (target.needs_gpu or target.name == AOTI):
        raise BadInput(f"the target {target.name} builds for no GPU that is here; leave `device` out")
    if target.name == AOTI and (options.profiles or options.optimum or options.workspace or options.version_compatible):
        raise BadInput(
            f"the target {AOTI} takes the artifact's batch range as it is; "
            "leave `profiles`, `optimum`, `workspace` and `version_compatible` out"
        )
    builder, device = target.builder(), _device(target, options)
    gpu = runner_kind(target.name).device(options.device) if target.needs_gpu or target.name == AOTI else CPU
    if problem := precision_problem(precision, gpu):
        raise NotAvailable(f"the target {target.name} cannot build {precision} here: {problem}")
    return builder, device


def check_tf32(target: Target, precision: str, kept_in: str, options: BuildOptions) -> None:
    """Raise `BadInput` where there is nothing that `tf32` could round, or the environment says otherwise.

    The graph is `kept_in` a precision: that of what is not quantised.
    """
    if options.tf32 and target.name in FOR_CPUS and not is_gpu(options.device):
        remedy = "give `device`, or leave it out" if target.name == AOTI else "leave it out"
        raise BadInput(f"`tf32` must be for a GPU, found the target {target.name} on the CPU; {remedy}")
    if options.tf32:
        check_rounds(precision, kept_in)
    if rounds(target, kept_in, options):
        check_override(tf32=options.tf32)


def _request(artifact: Artifact, target: Target, options: BuildOptions) -> dict[str, object]:
    image = input_named(artifact.input).dims(artifact.image_size)
    return builder_request(target, artifact.graph, image, options)


def _check(layers: LayerReport, precision: str) -> None:
    if layers.fallbacks:
        more = f" and {len(layers.fallbacks) - 1} more" if len(layers.fallbacks) > 1 else ""
        raise VerificationFailed(
            f"every layer must compute in {precision}, as the graph says, found that {layers.fallbacks[0]}{more}",
            layers,
        )


def _device(target: Target, options: BuildOptions) -> str:
    """Return the GPU or the CPU that the engine is for, if that is what is here. Raise `NotAvailable` if not."""
    if target.name == AOTI:
        kind = runner_kind(AOTI).on(options.device)
        if problem := kind.problem():
            raise NotAvailable(f"the target {AOTI} cannot build here: {problem}", kind.remedy())
        if kind.device("") == CPU:
            from resnas_deploy.engines.aoti import cpu_kind

            return cpu_kind()
        return device_name(kind.device("")).partition(" ")[2]
    if not target.needs_gpu:
        return ""
    asked = runner_kind(target.name).device(options.device)
    if problem := gpu_problem(asked):
        raise NotAvailable(
            f"the target {target.name} builds for a GPU that is here, and {problem}; `target` tensorrt-rtx needs none"
        )
    if target.name == ORT and (problem := runner_kind(ORT).problem(asked)):
        raise NotAvailable(f"the target {ORT} cannot build here: {problem}", target.install)
    return gpus()[index(asked)]


def check_for_here(target: Target) -> None:
    """Raise `NotAvailable` where what the target builds unless told otherwise runs on no GPU of this machine."""
    if target.name != RTX:
        return
    problems = [unfit_for_rtx(f"{CUDA}:{number}") for number in range(len(gpus()))]
    if problems and all(problems):
        raise NotAvailable(f"{problems[0]}; to build for other machines name theirs or {PORTABLE}: `capability`")
