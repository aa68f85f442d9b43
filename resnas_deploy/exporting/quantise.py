"""Quantisation to int8 or fp8: ONNX Runtime's own calibrator and quantiser, told what to quantise and in which form.

The result is a QDQ graph: QuantizeLinear and DequantizeLinear around the operands of products with weights. Weights are
quantised by output channel, symmetrically. Norms, softmax, the products of attention, GELU, additions and the head keep
the precision of the graph around them.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, inliner, numpy_helper

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, PackageMissing
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.precision import AROUND_QUANTISED, PRECISIONS, QUANTISED
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Images

Ranges = Mapping[str, tuple[float, float]]  # of each activation: the least and the largest value seen
DEFAULT_DROP = 0.5  # percentage points of top-1 that quantisation may cost
_OPERATORS = ("MatMul", "Conv", "Add", "Relu")
_IN_THE_STEM = ("stem.add", "stem.conv3.relu")  # between convolutions: rounded, they need not leave int8
_BATCH = 16  # images in one run of the calibration
_MADE_UP = (-4.0, 4.0)  # about what normed activations have
_LEAST, _MOST = "_ReduceMin", "_ReduceMax"  # what ONNX Runtime's calibrator adds to a tensor's name
_INT8, _FP8 = QUANTISED["int8"], QUANTISED["fp8"]


@dataclass(frozen=True)
class Scheme:
    """How a kind of runtime wants its QDQ graph."""

    precision: str  # int8 or fp8
    around: str  # the precision of what is not quantised
    asymmetric: bool  # activations as uint8 with a zero point, which CPUs multiply fastest, instead of int8
    convolutions: bool  # whether they are quantised, and what lies between those of the stem

    def to_json(self) -> dict[str, object]:
        """Return what the manifest says."""
        activations = "uint8, asymmetric" if self.asymmetric else f"{self.precision}, symmetric"
        kept = ["the head", "norms", "softmax and the products of attention", "GELU", "additions"]
        return {
            "around": self.around,
            "activations": activations,
            "weights": f"{self.precision}, symmetric, a scale for each output channel",
            "kept": kept if self.convolutions else ["convolutions", *kept],
        }

    def quantises(self, node: NodeProto, weights: Container[str]) -> bool:
        """Tell whether a node of the graph computes in the new precision."""
        if node.name.startswith("head."):
            return False
        if node.op_type == "MatMul":
            return node.input[1] in weights
        return self.convolutions and (
            node.op_type == "Conv" or (node.op_type in ("Add", "Relu") and node.name in _IN_THE_STEM)
        )


def scheme_for(precision: str, engine: bool) -> Scheme:
    """Return the scheme of `int8` or `fp8` for engines, or for runtimes on CPUs.

    In engines the convolutions keep fp16: TensorRT writes the sums of an int8 one in float32 for another kernel to
    read, the stem's are the network's largest values, and there is no e4m3 kernel for its 7x7 convolution at all.
    """
    if engine or precision == _FP8.name:
        return Scheme(precision, AROUND_QUANTISED, asymmetric=False, convolutions=False)
    return Scheme(precision, "fp32", asymmetric=True, convolutions=True)


def check_quantiser() -> None:
    """Raise `NotAvailable` where ONNX Runtime, whose quantiser this is, is missing."""
    if importlib.util.find_spec("onnxruntime") is None:
        raise PackageMissing(
            "quantisation uses ONNX Runtime's quantiser, and onnxruntime is not installed", "pip install onnxruntime"
        )


def activation_ranges(model: Path, images: Images, sizes: BatchRange, progress: Progress) -> Ranges:
    """Run a float32 graph on the images and return the range of every product's operands and results.

    Raise `BadInput` where an activation is not finite, which ONNX Runtime's own collecting of ranges passes over.
    """
    calibrate = import_quietly("onnxruntime.quantization.calibrate")
    batch = sizes.nearest(min(_BATCH, len(images)))
    graph = inliner.inline_local_functions(onnx.load(model))
    seen: dict[str, tuple[float, float]] = {}  # the least and the largest value of each output
    with scratch_folder("calibration") as folder, _quiet():
        inlined, augmented = folder / "inlined.onnx", folder / "augmented.onnx"
        onnx.save(graph, inlined)
        calibrator = calibrate.create_calibrator(
            inlined, list(_OPERATORS), str(augmented), calibrate_method=calibrate.CalibrationMethod.MinMax
        )
        session = calibrator.infer_session  # its outputs are the logits, and a least and a largest value of each tensor
        names = [output.name for output in session.get_outputs()]
        for start in range(0, len(images), batch):
            progress(f"calibrating: {start}/{len(images)} images")
            rows = np.arange(start, start + batch) % len(images)  # the last batch is filled up with the first images
            found = dict(zip(names, session.run(None, {INPUT: images[rows]}), strict=True))
            _check_finite(found, graph)
            for name, values in found.items():
                low, high = seen.get(name, (np.inf, -np.inf))
                seen[name] = (min(low, float(values.min())), max(high, float(values.max())))
    tensors = [name.removesuffix(_LEAST) for name in names if name.endswith(_LEAST)]
    return {name: (seen[name + _LEAST][0], seen[name + _MOST][1]) for name in tensors}


def _check_finite(found: Mapping[str, NDArray[np.float32]], graph: ModelProto) -> None:
    bad = {name.removesuffix(_LEAST).removesuffix(_MOST) for name in found if not np.isfinite(found[name]).all()}
    if bad:
        first = next(name for node in graph.graph.node for name in node.output if name in bad)
        raise BadInput(f"activations must be finite on the calibration images, found NaN or infinity at {first}")


def quantise(model: Path, ranges: Ranges | None, scheme: Scheme) -> int:
    """Quantise the graph in a file, in place. Return how many products compute in the new precision.

    Without ranges they are made up: the graph is the same but for its steps, on which its time does not hang.
    """
    calibrate, quantizers = (
        import_quietly("onnxruntime.quantization.calibrate"),
        import_quietly("onnxruntime.quantization.qdq_quantizer"),
    )
    types = import_quietly("onnxruntime.quantization").QuantType
    graph = inliner.inline_local_functions(onnx.load(model))
    originals = {tensor.name: tensor for tensor in graph.graph.initializer}
    nodes = [node.name for node in graph.graph.node if scheme.quantises(node, originals)]
    around = PRECISIONS[scheme.around]
    if ranges is None:
        ranges = dict.fromkeys((INPUT, *(name for node in graph.graph.node for name in node.output)), _MADE_UP)
    data = {  # what lies beyond the type is cut off here, for infinite steps say nothing; verification finds it
        name: tuple(np.array(np.clip(end, -around.largest, around.largest), around.dtype) for end in ends)
        for name, ends in ranges.items()
    }
    with _quiet():
        quantizer = quantizers.QDQQuantizer(
            graph,
            True,  # weights by channel
            False,  # with the whole range
            types.QInt8,
            types.QUInt8 if scheme.asymmetric else types.QInt8,
            calibrate.TensorsData(calibrate.CalibrationMethod.MinMax, data),
            nodes,
            [],
            list(_OPERATORS),
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
    quantised: ModelProto = quantizer.model.model
    if scheme.precision == _FP8.name:
        _to_fp8(quantised, originals)
    model.write_bytes(quantised.SerializeToString(deterministic=True))
    return len(nodes)


def _to_fp8(model: ModelProto, originals: Mapping[str, TensorProto]) -> None:
    """Turn a symmetric int8 QDQ graph into float8 e4m3: the same ranges in other steps, weights rounded anew.

    ONNX Runtime's own fp8 takes one scale for a whole weight, from its standard deviation, and clips beyond it.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    done: set[str] = set()

    def first_time(name: str) -> bool:
        fresh = name not in done
        done.add(name)
        return fresh

    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        value, scale, zero = node.input
        if first_time(scale):
            steps = numpy_helper.to_array(tensors[scale])
            rescaled = _not_below(steps.astype(np.float32) * np.float32(_INT8.largest / _FP8.largest), steps.dtype)
            tensors[scale].CopyFrom(numpy_helper.from_array(rescaled, scale))
        if first_time(zero):
            tensors[zero].CopyFrom(_fp8(zero, np.zeros(tuple(tensors[zero].dims), np.float32)))
        if value in tensors and first_time(value):
            weight = numpy_helper.to_array(originals[value.removesuffix("_quantized")]).astype(np.float32)
            shape = [1] * weight.ndim
            shape[next(attribute.i for attribute in node.attribute if attribute.name == "axis")] = -1
            steps = numpy_helper.to_array(tensors[scale]).astype(np.float32).reshape(shape)
            tensors[value].CopyFrom(_fp8(value, np.clip(weight / steps, -_FP8.largest, _FP8.largest)))


def _not_below(steps: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the steps in a type: to nearest, but never to 0, and where the type has few bits left, never to less."""
    rounded = steps.astype(dtype)
    limits = np.finfo(dtype)
    short = (rounded.astype(np.float32) < steps) & (rounded < limits.tiny)
    return np.where(short, np.nextafter(rounded, limits.max), rounded)


def _fp8(name: str, values: Any) -> TensorProto:
    rounded = values.astype(_FP8.dtype)
    return helper.make_tensor(name, _FP8.onnx, rounded.shape, rounded.tobytes(), raw=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice, which it gives through the root logger, off the screen."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
