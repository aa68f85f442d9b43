"""Writes layers as each version of TensorRT lists them (tests/engines/listings/README.md), and reads them again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from resnas_deploy.engines.inspector import parse_inspection
from resnas_deploy.engines.layers import Layer, Tensor, parse_layers

_WORDS = {"fp32": "Float", "fp16": "Half", "bf16": "BFloat16", "int8": "Int8", "fp8": "FP8"}
_SENTENCES = {"fp32": "Row major linear FP32", "fp16": "Channel major FP16 format where channel % 8 == 0"}


def _word(tensor: Tensor) -> str:
    return _WORDS.get(tensor.precision, tensor.precision.capitalize())


def _of_ten(layer: Layer) -> dict[str, Any]:
    cask = layer.kind == "correlation"  # which is a convolution of its own library there

    def tensor(each: Tensor) -> dict[str, Any]:
        described = _SENTENCES.get(each.precision, _word(each)) if cask else _word(each)
        place = {"Location": "Device"} if cask else {}
        return {"Name": each.name, **place, "Dimensions": list(each.dims), "Format/Datatype": described}

    inputs, weights = [*layer.inputs, *layer.constants], {}
    if cask:
        inputs = list(layer.inputs)
        largest = max(layer.constants, key=lambda each: len(each.dims))
        weights = {"Weights": {"Type": _word(largest), "Count": 648}}
    return {
        "Name": layer.name,
        "LayerType": "CaskConvolution" if cask else layer.kind,
        "Inputs": [tensor(each) for each in inputs],
        "Outputs": [tensor(each) for each in layer.outputs],
        **weights,
        "TacticName": layer.tactic,
        "StreamId": 0,
        "Metadata": "\x1e".join(f"[ONNX Layer: {node}]" for node in layer.nodes),
    }


def _of_eleven(layer: Layer) -> dict[str, Any]:
    def tensor(each: Tensor) -> dict[str, Any]:
        size = len(each.dims)
        layout = {"Strides": [1] * size, "StrideOrder": list(range(size))}
        return {"Name": each.name, "Dimensions": list(each.dims), **layout, "Datatype": _word(each), "Format": "Linear"}

    groups = {"Inputs": layer.inputs, "Constants": layer.constants, "Outputs": layer.outputs}
    return {
        "Name": layer.name,
        "LayerType": layer.kind,
        **{name: [tensor(each) for each in tensors] for name, tensors in groups.items()},
        "TacticName": layer.tactic,
        "StreamId": 0,
        "Metadata": "\x1f".join(f"[ONNX Layer: {node}]" for node in layer.nodes),
    }


def _in_words(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[" + ",".join(f" {{ {_fields(each)} }}" for each in value) + "]"
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def _fields(said: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}: {json.dumps(value) if isinstance(value, dict) else _in_words(value)}" for name, value in said.items()
    )


def _log(said: Sequence[dict[str, Any]]) -> str:
    return "VERBOSE Layers:\n" + "\n".join(map(_fields, said)) + "\n\n"


FORMATS: dict[str, Callable[[Sequence[Layer]], tuple[Layer, ...]]] = {
    "10 json": lambda layers: parse_inspection([json.dumps({"Layers": [_of_ten(layer) for layer in layers]})]),
    "11 json": lambda layers: parse_inspection([json.dumps({"Layers": [_of_eleven(layer) for layer in layers]})]),
    "10 log": lambda layers: parse_layers(_log([_of_ten(layer) for layer in layers])),
    "11 log": lambda layers: parse_layers(_log([_of_eleven(layer) for layer in layers])),
}
