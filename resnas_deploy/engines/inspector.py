"""Reads what TensorRT's engine inspector says of an engine, as JSON with detailed profiling verbosity.

One object with the list `Layers`. TensorRT 10 describes a tensor's type and layout in one field, `Format/Datatype`: a
word for Myelin's layers (`Half`), a sentence for others (`Channel major FP16 format where channel % 8 == 0`), and lists
weights among the inputs or as `Weights`, by type and count. TensorRT 11 has `Datatype` and `Format`, and `Constants`,
as its log has. Neither says the type of a tensor whose shape is not set ("N/A due to dynamic shapes"), so an engine is
asked once a profile, with a context in a shape of it.

Sources: NVIDIA's "Engine Inspector" (docs.nvidia.com/deeplearning/tensorrt, 10.16.1/inference-library/engine-tools),
"Migrating IEngineInspector Usage from TensorRT 10.x to 11.x" (the same, 11.3.0/api/migration), and listings that its
users published: tests/engines/listings has where from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from resnas_deploy.engines.layers import (
    KNOWN_TYPES,
    Layer,
    Tensor,
    counted_weights,
    graph_names,
    plain_tensor,
    with_constants,
)
from resnas_deploy.errors import BadInput, shown

MOST_BYTES = 200_000_000  # of one listing


def parse_inspection(texts: Sequence[str]) -> tuple[Layer, ...]:
    """Return the layers that the inspector listed, once a profile. Raise `BadInput` for what is no such listing.

    A layer that is in several listings is taken once, from one in which the types of its tensors are known; where
    listings differ, each that differs is kept, so that no profile hides what another shows.
    """
    if not texts:
        raise BadInput("an engine must be inspected once a profile, found no listing of its layers")
    found: dict[str, list[tuple[Layer, bool]]] = {}
    for number, text in enumerate(texts):
        for layer, told in _listing(text, f"listing {number + 1} of the engine inspector"):
            known = found.setdefault(layer.name, [])
            if not any(_types(layer) == _types(other) for other, _ in known):
                known.append((layer, told))
    return with_constants(
        [each for alike in found.values() for each in ([each for each in alike if _is_known(each[0])] or alike)]
    )


def _listing(text: str, where: str) -> list[tuple[Layer, bool]]:
    if len(text) > MOST_BYTES:
        raise BadInput(f"{where} must be of at most {MOST_BYTES} characters, found {len(text)}")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where} must be JSON, found {shown(text[:60])} ({type(error).__name__})") from None
    layers = said.get("Layers") if isinstance(said, dict) else None
    if not isinstance(layers, list) or not layers:
        raise BadInput(f"{where} must be an object with a list of Layers, found {shown(text[:60])}")
    return [_layer(layer, f"{where}, layer {number + 1}") for number, layer in enumerate(layers)]


def _layer(said: object, where: str) -> tuple[Layer, bool]:
    if isinstance(said, str):
        raise BadInput(
            f"{where} must be described, found its name alone, {shown(said)}: the engine must be built with detailed "
            "profiling verbosity"
        )
    if not isinstance(said, dict):
        raise BadInput(f"{where} must be a JSON object, found {shown(said)}")
    name = _text(said, "Name", where)
    where = f"{where}, {shown(name)}"
    weights = _counted(said, where)
    layer = Layer(
        name,
        _text(said, "LayerType", where),
        _tensors(said.get("Inputs"), f"{where}, inputs"),
        (*_tensors(said.get("Constants", []), f"{where}, constants"), *weights),
        _tensors(said.get("Outputs"), f"{where}, outputs"),
        graph_names(_text(said, "Metadata", where, ""), name),
        _text(said, "TacticName", where, ""),
    )
    return layer, "Constants" in said


def _tensors(said: object, where: str) -> tuple[Tensor, ...]:
    if not isinstance(said, list):
        raise BadInput(f"{where}: must be a list of tensors, found {shown(said)}")
    return tuple(_tensor(tensor, f"{where}[{number}]") for number, tensor in enumerate(said))


def _tensor(said: object, where: str) -> Tensor:
    if not isinstance(said, dict):
        raise BadInput(f"{where} must be a JSON object, found {shown(said)}")
    dims = said.get("Dimensions")
    if not isinstance(dims, list) or not all(type(size) is int for size in dims):
        raise BadInput(f"{where} must have Dimensions, a list of whole numbers, found {shown(dims)}")
    field = "Datatype" if "Datatype" in said else "Format/Datatype"
    return plain_tensor(_text(said, "Name", where), dims, _text(said, field, where))


def _counted(said: Mapping[str, Any], where: str) -> tuple[Tensor, ...]:
    """Return the weights of a layer that is not Myelin's, of which only type and count are told, as a matrix."""
    if "Weights" not in said:
        return ()
    weights = said["Weights"]
    if not isinstance(weights, dict) or type(count := weights.get("Count")) is not int:
        raise BadInput(f"{where}: Weights must have a Type and a Count, found {shown(weights)}")
    return counted_weights(_text(weights, "Type", where), count)


def _text(said: Mapping[str, Any], field: str, where: str, default: str | None = None) -> str:
    value = said.get(field, default)
    if not isinstance(value, str):
        raise BadInput(f"{where} must have a {field}, a text, found {shown(value)}")
    return value


def _types(layer: Layer) -> list[tuple[str, str]]:
    return [(tensor.name, tensor.precision) for tensor in (*layer.inputs, *layer.constants, *layer.outputs)]


def _is_known(layer: Layer) -> bool:
    return all(precision in KNOWN_TYPES for _, precision in _types(layer))
