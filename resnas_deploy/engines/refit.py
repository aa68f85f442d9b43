"""Puts the weights of another artifact of the same architecture into an engine, without a build.

What TensorRT's documents say ("Refitting an Engine", docs.nvidia.com/deeplearning/tensorrt, 10.16, 11.4): one
built with REFIT takes other weights by the names that the graph gives them; one with REFIT_IDENTICAL, which a stripped
one is unless REFIT was asked for too, takes the weights of its build alone, and anything else is undefined behaviour.
Kernels stay as they are, so the proof of their precision stays: the report says which engine's it is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines import store
from resnas_deploy.engines.builder_process import compile_engine
from resnas_deploy.engines.options import engine_id
from resnas_deploy.engines.targets import FOR_CPUS, ORT, RTX, target_named
from resnas_deploy.errors import BadInput, NotAvailable, first_few
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.precision import QUANTISED
from resnas_deploy.progress import Progress
from resnas_deploy.runners import devices
from resnas_deploy.runners.devices import gpu_problem, index

if TYPE_CHECKING:
    from onnx import ModelProto


def check_refittable(engine: store.Engine, device: str) -> None:
    """Raise `BadInput` where an engine was not built for it, `NotAvailable` where its GPU and builder are not here."""
    made = engine.made_of
    if made["target"] in (*FOR_CPUS, ORT):
        raise BadInput(f"a refit must be of an engine of tensorrt or {RTX}, found {made['target']}; build it anew")
    if not (made.get("refittable") or made.get("strip_weights")):
        raise BadInput(
            f"{engine.path.name} must have been built with `refittable` or `strip_weights`, found neither; "
            "build one that can be refitted: `build(refittable=True)`"
        )
    if made["precision"] in QUANTISED:
        raise BadInput(
            f"weights of {made['precision']} come with scales that calibration finds, which a refit cannot; "
            "build the engine: `build()`"
        )
    target = target_named(str(made["target"]))
    if problem := gpu_problem(device or "cuda:0"):
        raise NotAvailable(f"an engine of {target.name} is refitted on the GPU that it runs on, and {problem}")
    if (found := target.builder()) != made["builder"]:
        raise BadInput(f"an engine must be refitted by what built it, {made['builder']}, found {found}")
    here = devices.gpus()[index(device)]
    if target.name != RTX and not made.get("hardware_compatibility") and made["device"] != here:
        raise BadInput(f"the engine must be refitted on the GPU that it was built for, {made['device']}, found {here}")


def refitted_identity(engine: store.Engine, artifact: Artifact) -> Mapping[str, object]:
    """Return the identity of an engine with an artifact's weights: not that of one that was built with them."""
    made = {name: value for name, value in engine.made_of.items() if name != "strip_weights"}
    changed = {"weights": artifact.manifest.weights_sha256, "graph": artifact.digest}
    return {**made, **changed, "refitted_from": engine_id(engine.made_of)}


def refit_engine(
    engine: store.Engine, built_of: Artifact, artifact: Artifact, device: str, progress: Progress
) -> tuple[store.Engine, bool]:
    """Return the engine with the weights of `artifact`, kept there, and whether it was there already.

    Raise `BadInput` where more than weights differs from the graph that it was built of, and what `check_refittable`
    raises.
    """
    from resnas_deploy.artifact.graph import read_structure  # imports onnx

    check_refittable(engine, device)
    check_same_graph(read_structure(built_of), read_structure(artifact))
    same = built_of.manifest.weights_sha256 == artifact.manifest.weights_sha256
    if not engine.made_of.get("refittable") and not same:
        raise BadInput(
            "an engine that was built with `strip_weights` alone takes the weights of its build and no others; build "
            "it with `refittable` too"
        )
    identity = refitted_identity(engine, artifact)
    path = store.engine_path(artifact.folder, engine_id(identity))
    with store.building(artifact.folder):
        if found := store.find(path):
            return found, True
        started = time.perf_counter()
        with atomic_file(path) as partial:
            compile_engine(
                _request(engine, artifact, device), partial, store.failed_log(artifact.folder, "refit"), progress
            )
        described = {"identity": identity, "seconds": time.perf_counter() - started, "layers": engine.report["layers"]}
        return store.save_engine_report(path, described), False


def check_same_graph(old: ModelProto, new: ModelProto) -> None:
    """Raise `BadInput` where two graphs differ in more than the values of their weights."""
    nodes = [[(node.name, node.op_type, *node.input, *node.output) for node in each.graph.node] for each in (old, new)]
    if differing := [b[0] or a[0] for a, b in zip(*nodes, strict=False) if a != b]:
        raise BadInput(f"the graphs must differ in weights alone, found other nodes: {first_few(differing)}")
    if len(nodes[0]) != len(nodes[1]):
        raise BadInput(f"the graphs must differ in weights alone, found {len(nodes[1])} nodes of {len(nodes[0])}")
    shapes = [{each.name: (each.data_type, *each.dims) for each in model.graph.initializer} for model in (old, new)]
    names = sorted(shapes[0].keys() | shapes[1].keys())
    if differing := [name for name in names if shapes[0].get(name) != shapes[1].get(name)]:
        raise BadInput(f"the graphs must differ in the values of weights alone, found others: {first_few(differing)}")


def _request(engine: store.Engine, artifact: Artifact, device: str) -> dict[str, Any]:
    target = target_named(str(engine.made_of["target"]))
    return {
        "module": target.module,
        "model": str(artifact.graph),
        "refit": str(engine.path.absolute()),
        "version_compatible": bool(engine.made_of["version_compatible"]),
        "gpu": index(device) if target.needs_gpu else None,
    }
