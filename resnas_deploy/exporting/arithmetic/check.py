"""Verification of a graph in its own type: its logits against the reference's, and the room that the type leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.headroom import MARGIN, OwnArithmetic, as_percent
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.arithmetic.evaluate import ComputedGraph, Graph
from resnas_deploy.precision import precision_named, relative_error, tolerance_of
from resnas_deploy.runners.base import Images


def compute_in_own_type(artifact: Artifact, images: Images, keep: Collection[str] = ()) -> ComputedGraph:
    """Compute the artifact's graph in its own type; `keep` names values that are wanted beside the logits."""
    precision = precision_named(artifact.manifest.type)
    return Graph(artifact.graph, artifact.arch, precision).evaluate(images, keep)


def in_own_arithmetic(artifact: Artifact, images: Images, reference: NDArray[np.float32]) -> OwnArithmetic:
    """Compute the artifact's graph in its own type and compare with reference logits."""
    found, precision = compute_in_own_type(artifact, images), precision_named(artifact.manifest.type)
    if not found.peaks:
        raise BadInput(
            f"the graph must compute something in {precision.name}, found nothing; export the artifact again"
        )
    return OwnArithmetic(
        type=precision.name,
        largest=precision.largest,
        margin=MARGIN,
        tolerance=tolerance_of(artifact.precision),
        error=relative_error(found.logits, reference),
        peaks=found.peaks,
    )


def out_of_room(own: OwnArithmetic) -> str:
    """Return what to say of a graph that leaves its type's range, or comes too near to its end."""
    peak, others = own.peaks[own.beyond], sum(share > own.margin for share in own.headroom.values()) - 1
    more = f", as have {others} more elements" if others > 1 else ", as has one more element" if others else ""
    found = f"{peak} ({as_percent(own.headroom[own.beyond])})" if peak.magnitude is not None else str(peak)
    return (
        f"the graph must leave room in {own.type}: no result may be above {as_percent(own.margin)} of its largest "
        f"number, {own.largest:.5g}, found {found} in the element {own.beyond}, "
        f"at {peak.operator}{more}; export with `precision` {precision_named(own.type).wider}"
    )


def element_errors(
    artifact: Artifact, images: Images, wanted: Mapping[str, NDArray[np.float32]], head: str
) -> dict[str, float]:
    """Return the error after each element in the graph's own type, of the outputs that are wanted there."""
    found = compute_in_own_type(artifact, images, [name for name in wanted if name != head])
    outputs = {**found.outputs, head: found.logits}
    return {name: relative_error(outputs[name], output) for name, output in wanted.items()}
