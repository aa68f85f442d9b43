"""Where a graph and the module part: the error at the output of every element, in the order of computation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from resnas_deploy.arch.elements import OUTPUT, BlockElement, elements
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.graph import read_graph
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.exporting.arithmetic.check import element_errors
from resnas_deploy.exporting.verified_images import rows_of
from resnas_deploy.images.preprocessing import normalised
from resnas_deploy.network.module import build_model, intermediates
from resnas_deploy.precision import relative_error
from resnas_deploy.runners.base import Images, Options, Outputs
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.weights.padding import aligned_output


@dataclass(frozen=True)
class Divergence:
    """The largest difference at one element's output, relative to the reference's largest value there."""

    element: str
    error: float

    def __str__(self) -> str:
        return f"the first element that differs is {self.element} (error {self.error:.1e})"


def divergences(artifact: Artifact, kind: RunnerKind, images: Images, threads: int) -> list[Divergence]:
    """Return the error at every element's output, in the order of computation: where the graph and the module part."""
    batch = artifact.manifest.batch
    images = images[rows_of(len(images), batch.nearest(len(images)))[0]]
    wanted = _wanted(artifact, images)
    probed = with_probes(read_graph(artifact), list(wanted))
    with open_runner(kind, artifact, Options(threads, probed.SerializeToString())) as runner:
        found: Outputs = runner.run(images)
    return [Divergence(name, relative_error(found[probe(name)], output)) for name, output in wanted.items()]


def own_divergences(artifact: Artifact, images: Images) -> list[Divergence]:
    """Return the same of the graph in its own arithmetic."""
    found = element_errors(artifact, images, _wanted(artifact, images), "head")
    return [Divergence(name, error) for name, error in found.items()]


def _wanted(artifact: Artifact, images: Images) -> dict[str, NDArray[np.float32]]:
    """Return what the module says that the graph must have at every element's output.

    An aligned graph has the module's outputs in its leading channels and their mean in the others.
    """
    manifest = artifact.manifest
    with torch.inference_mode():
        model = build_model(artifact.checkpoint())
        taken = torch.from_numpy(normalised(images, manifest.preprocessing))
        wanted = {name: output.numpy() for name, output in intermediates(model, taken).items()}
    last = next(e.name for e in elements(manifest.arch) if isinstance(e, BlockElement) and e.last)
    wanted[last] = wanted[last][:, :1]  # all that the graph computes there
    return wanted | {
        name: aligned_output(output, manifest.alignment) for name, output in wanted.items() if probe(name) != OUTPUT
    }


def first_beyond(found: list[Divergence], tolerance: float) -> Divergence:
    """Return the first element whose error exceeds the tolerance, or the worst where none does."""
    beyond = (item for item in found if item.error > tolerance)
    return next(beyond, max(found, key=lambda item: item.error))


def probe(element: str) -> str:
    """Return the name of the graph's output that has an element's output."""
    return OUTPUT if element == "head" else f"{element}.probe"


def with_probes(model: ModelProto, names: list[str]) -> ModelProto:
    """Return the model with the outputs of these elements as further outputs, in float32."""
    for name in names:
        if probe(name) != OUTPUT:
            model.graph.node.append(helper.make_node("Cast", [name], [probe(name)], to=TensorProto.FLOAT))
            model.graph.output.append(helper.make_tensor_value_info(probe(name), TensorProto.FLOAT, None))
    return model
