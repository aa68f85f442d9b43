"""Quantisation to int8 or fp8: ONNX Runtime's own quantiser, told what to quantise and in which form.

The result is a QDQ graph: QuantizeLinear and DequantizeLinear around the operands of products. Weights are quantised by
output channel, symmetrically. Norms, softmax, GELU, additions and the head keep the precision of the graph around them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, inliner, numpy_helper

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.artifact.written_for import OPENVINO, ORT_CPU
from resnas_deploy.errors import PackageMissing
from resnas_deploy.exporting.fp8 import to_fp8
from resnas_deploy.exporting.openvino_form import for_openvino
from resnas_deploy.exporting.ort_form import for_onnxruntime
from resnas_deploy.exporting.products import with_products
from resnas_deploy.exporting.ranges import OPERATORS, Ranges
from resnas_deploy.exporting.scheme import Scheme
from resnas_deploy.graph.mixing import AVERAGED
from resnas_deploy.precision import PRECISIONS, QUANTISED
from resnas_deploy.processes.loggers import errors_only
from resnas_deploy.processes.quiet import import_quietly

DEFAULT_DROP = 0.5  # percentage points of top-1 that quantisation may cost
DEFAULT_MINUTES = 60.0  # of looking for elements that must not be quantised for that
_MADE_UP = (-4.0, 4.0)  # about what normed activations have
_FP8 = QUANTISED["fp8"]
_FORMS = {ORT_CPU: for_onnxruntime, OPENVINO: for_openvino}  # what is made of the pairs for one runner alone


def check_quantiser() -> None:
    """Raise `NotAvailable` where ONNX Runtime, whose quantiser this is, is missing."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise PackageMissing(
            "quantisation uses ONNX Runtime's quantiser, and onnxruntime is not installed", "pip install onnxruntime"
        )


def quantise(model: Path, ranges: Ranges | None, scheme: Scheme, out: Path | None = None) -> None:
    """Quantise the graph in a file, in place or into `out`.

    Without ranges they are made up: the graph is the same but for its steps, on which its time does not hang.
    """
    graph = with_products(inliner.inline_local_functions(onnx.load(model)), scheme.written_out)
    softmaxes = scheme.softmaxes(graph)
    originals = {tensor.name: tensor for tensor in graph.graph.initializer}
    nodes = [node.name for node in graph.graph.node if scheme.quantises(node, originals)]
    if nodes:
        quantised = _means_of_floats(_quantised(graph, nodes, ranges, scheme))
        if scheme.precision == _FP8.name:
            to_fp8(quantised, originals)
        if step := scheme.softmax_step:
            for name in softmaxes:
                _set_step(quantised, name, step)
        if scheme.for_runner:
            quantised = _FORMS[scheme.for_runner](quantised)
    else:
        quantised = graph
    (out or model).write_bytes(quantised.SerializeToString(deterministic=True))


def _quantised(graph: ModelProto, nodes: Sequence[str], ranges: Ranges | None, scheme: Scheme) -> ModelProto:
    """Return the graph with these nodes' operands in int8, and uint8 where the scheme is asymmetric."""
    calibrate, quantizers = (
        import_quietly("onnxruntime.quantization.calibrate"),
        import_quietly("onnxruntime.quantization.qdq_quantizer"),
    )
    types = import_quietly("onnxruntime.quantization").QuantType
    around = PRECISIONS[scheme.around]
    if ranges is None:
        ranges = dict.fromkeys((INPUT, *(name for node in graph.graph.node for name in node.output)), _MADE_UP)
    data = {  # what lies beyond the type is cut off here, for infinite steps say nothing; verification finds it
        name: tuple(np.array(np.clip(end, -around.largest, around.largest), around.dtype) for end in ends)
        for name, ends in ranges.items()
    }
    with errors_only():  # the quantiser gives advice through the root logger
        quantizer = quantizers.QDQQuantizer(
            graph,
            True,  # weights by channel
            False,  # with the whole range
            types.QInt8,
            types.QUInt8 if scheme.asymmetric else types.QInt8,
            calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, data),
            nodes,
            [],
            list(OPERATORS),
            {
                # A product's sums go on unrounded, to the addition after it; a convolution's must be rounded, or ONNX
                # Runtime computes it in float32.
                "OpTypesToExcludeOutputQuantization": ["MatMul"],
                "ActivationSymmetric": not scheme.asymmetric,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # TensorRT takes no int32 there
            },
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()  # which the quantiser leaves to whoever saves the graph
    found: ModelProto = quantizer.model.model
    return found


def _means_of_floats(model: ModelProto) -> ModelProto:
    """Let what is averaged over views be what a norm wrote, not what its int8 stands for; return the same model.

    It is rounded once less; and ONNX Runtime moves the steps of a symmetric int8 through the views, to a graph that it
    then refuses.
    """
    read_by = {node.output[0]: node.input[0] for node in model.graph.node if node.input}
    for node in model.graph.node:
        if node.name.endswith(AVERAGED) and node.input[0].endswith("_DequantizeLinear_Output"):
            node.input[0] = read_by[read_by[node.input[0]]]
    return model


def _set_step(model: ModelProto, value: str, step: float) -> None:
    """Give a value that is quantised a step of its own, in place of the one that its range asked for."""
    (scale,) = {
        node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == value
    }
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == scale)
    tensor.CopyFrom(numpy_helper.from_array(np.array(step, numpy_helper.to_array(tensor).dtype), scale))
