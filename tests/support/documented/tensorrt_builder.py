"""The builder half of `tensorrt` 10.15 and 11.4, on the CPU: what it builds is a `plan` of tensorrt_runtime.py.

After NVIDIA's documents (docs.nvidia.com/deeplearning/tensorrt): the Python API's `Builder`, `IBuilderConfig`,
`BuilderFlag` (TF32 is on by default; no precision flags from 11 on), `IOptimizationProfile`, `ITimingCache`,
`HardwareCompatibilityLevel`, `EngineInspector`, `Refitter` and `OnnxParserRefitter`; "Refitting an Engine" and "Engine
Inspector" of 10.16.1 and 11.4; "Migrating IEngineInspector Usage from TensorRT 10.x to 11.x". Each node of the graph is
a layer: nothing is fused. How 10.x writes a layer is from a published listing (tests/engines/listings/README.md); 11.x
as TensorRT for RTX 1.7.1 writes its log, with the words of the migration guide.
"""

from __future__ import annotations

import json
from enum import IntEnum
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper, shape_inference
from support.documented import tensorrt_runtime as runtime

_WORDS = {
    TensorProto.FLOAT: "Float",
    TensorProto.FLOAT16: "Half",
    TensorProto.BFLOAT16: "BFloat16",
    TensorProto.INT8: "Int8",
    TensorProto.UINT8: "UInt8",
    TensorProto.FLOAT8E4M3FN: "FP8",
    TensorProto.INT32: "Int32",
    TensorProto.INT64: "Int64",
    TensorProto.BOOL: "Bool",
}
_SENTENCES = {"Float": "Row major linear FP32", "Half": "Channel major FP16 format where channel % 8 == 0"}
_KINDS = {"MatMul": "gemm", "Gemm": "gemm", "Conv": "CaskConvolution"}


class ProfilingVerbosity(IntEnum):
    """What is kept of layers."""

    LAYER_NAMES_ONLY = 0
    NONE = 1
    DETAILED = 2


class NetworkDefinitionCreationFlag(IntEnum):
    """Of networks."""

    STRONGLY_TYPED = 1


class MemoryPoolType(IntEnum):
    """Of memory."""

    WORKSPACE = 0


class HardwareCompatibilityLevel(IntEnum):
    """GPUs that an engine runs on."""

    NONE = 0
    AMPERE_PLUS = 1
    SAME_COMPUTE_CAPABILITY = 2


class LayerInformationFormat(IntEnum):
    """Of the inspector."""

    ONELINE = 0
    JSON = 1


class IProgressMonitor:
    """To derive from."""


class _Flags10(IntEnum):
    FP16, INT8, DEBUG, REFIT, TF32, SPARSE_WEIGHTS, VERSION_COMPATIBLE = 0, 1, 2, 4, 6, 7, 13
    FP8, BF16, STRIP_PLAN, REFIT_IDENTICAL, REFIT_INDIVIDUAL = 15, 17, 19, 20, 23


class _Flags11(IntEnum):
    DEBUG, REFIT, TF32, SPARSE_WEIGHTS, VERSION_COMPATIBLE = 2, 4, 6, 7, 12
    STRIP_PLAN, REFIT_IDENTICAL, REFIT_INDIVIDUAL = 18, 19, 22


class Builder:
    """Builds engines."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        """Return an empty network."""
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        """Return a configuration."""
        return IBuilderConfig(_flags(runtime.HERE.version))

    def create_optimization_profile(self) -> IOptimizationProfile:
        """Return an empty profile."""
        return IOptimizationProfile()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        """Return an engine; None, with an error in the log, where one is asked for that cannot be."""
        strong = network.flags >> NetworkDefinitionCreationFlag.STRONGLY_TYPED & 1
        if not strong and not hasattr(config.flags_of, "FP16"):
            return self._refuse("networks are strongly typed")
        if not config.profiles:
            return self._refuse("Network has dynamic or shape inputs, but no optimization profile has been defined.")
        if network.model is None:
            return self._refuse("Network must have at least one output")
        flags = config.flags_of
        modes = [name for name in ("REFIT", "REFIT_IDENTICAL") if config.get_flag(flags[name])]
        stripped = config.get_flag(flags.STRIP_PLAN)
        host_code = config.get_flag(flags.VERSION_COMPATIBLE)
        header = {
            "refit": modes[0] if modes else ("REFIT_IDENTICAL" if stripped else ""),
            "stripped": stripped,
            "verbosity": int(config.profiling_verbosity),
            "tf32": config.get_flag(flags.TF32),
        }
        return _plan(network.model, config.profiles, header, host_code=host_code)

    def _refuse(self, why: str) -> None:
        self.logger.log(
            runtime.Severity.ERROR, f"IBuilder::buildSerializedNetwork: Error Code 4: API Usage Error ({why})"
        )


class INetworkDefinition:
    """A parsed graph, of which the parser's layers are not told."""

    def __init__(self, flags: int) -> None:
        self.flags, self.model, self.num_layers = flags, None, 0


class OnnxParser:
    """Parses graphs."""

    def __init__(self, network: INetworkDefinition, logger: Any) -> None:
        self._network, self._errors = network, []

    def parse(self, model: bytes) -> bool:
        """Parse, and return whether that was possible."""
        try:
            self._network.model = onnx.load_from_string(bytes(model))
        except Exception as error:  # noqa: BLE001  of onnx and of protobuf, which raise many kinds
            self._errors.append(_ParserError(f"Failed to parse the ONNX model: {error}"))
        return not self._errors

    @property
    def num_errors(self) -> int:
        """How many there are."""
        return len(self._errors)

    def get_error(self, index: int) -> _ParserError:
        """Return one."""
        return self._errors[index]


class _ParserError:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        """Return it in words."""
        return self._text


class IOptimizationProfile:
    """Shapes of an input."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def set_shape(self, _name: str, *shapes: tuple[int, ...]) -> None:
        """Set the least, the usual and the largest. Raise `ValueError` where they do not ascend."""
        if len(shapes) != 3 or any(a > b for low, high in pairwise(shapes) for a, b in zip(low, high, strict=True)):
            raise ValueError("the shapes of a profile must ascend")
        self.shapes = [tuple(shape) for shape in shapes]


class IBuilderConfig:
    """How to build. TF32 is on from the start."""

    def __init__(self, flags: type[IntEnum]) -> None:
        self.flags_of: Any = flags
        self._set = {flags["TF32"]}
        self.profiles: list[IOptimizationProfile] = []
        self.profiling_verbosity = ProfilingVerbosity.LAYER_NAMES_ONLY
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE
        self.progress_monitor: Any = None
        self._level, self._cache = 3, None

    def set_flag(self, flag: Any) -> None:
        """Set a flag."""
        self._set.add(self.flags_of(flag))

    def clear_flag(self, flag: Any) -> None:
        """Clear a flag."""
        self._set.discard(self.flags_of(flag))

    def get_flag(self, flag: Any) -> bool:
        """Return whether a flag is set."""
        return self.flags_of(flag) in self._set

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        """Return the profile's index; -1 where it has no shapes."""
        if not profile.shapes:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1

    def set_memory_pool_limit(self, _pool: MemoryPoolType, size: int) -> None:
        """Set the most memory."""
        if not 0 <= size < 2**64:
            raise TypeError("set_memory_pool_limit(): incompatible function arguments")

    def create_timing_cache(self, blob: bytes) -> ITimingCache | None:
        """Return a cache of what was serialised; None for what is damaged."""
        return ITimingCache(bytes(blob)) if not blob or bytes(blob).startswith(ITimingCache.MAGIC) else None

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        """Use a cache. Return False for one of another machine, unless that is to be ignored."""
        if cache.version not in ("", runtime.HERE.version) and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        """Return the cache in use."""
        return self._cache

    @property
    def builder_optimization_level(self) -> int:
        """How long to look for faster kernels: 0 to 5, 3 from the start."""
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        if level >= 0:  # else an error in the log; levels above the largest are the largest
            self._level = min(level, 5)


class ITimingCache:
    """Times of kernels."""

    MAGIC = b"a documented timing cache\n"

    def __init__(self, blob: bytes) -> None:
        self.version = blob.removeprefix(self.MAGIC).decode()

    def serialize(self) -> bytes:
        """Return it as bytes."""
        return self.MAGIC + runtime.HERE.version.encode()


class EngineInspector:
    """Tells the layers of an engine, as detailed as it was built."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.execution_context = engine, None

    def get_engine_information(self, format: LayerInformationFormat) -> str:  # noqa: A002  its name
        """Return the layers; the types of those that are not Myelin's only with a context whose shapes are set."""
        if format != LayerInformationFormat.JSON:
            raise NotImplementedError("only JSON is documented well enough")
        said, context = self._engine.said, self.execution_context
        layers = _described(
            onnx.load_from_string(self._engine.model), context is not None and not context.infer_shapes()
        )
        if said["verbosity"] != ProfilingVerbosity.DETAILED:
            return json.dumps({"Layers": [layer["Name"] for layer in layers]})
        names = {"Bindings": ["images", "logits"]}
        if _major() >= 11:
            names = {"I/O Tensors": [{"Name": name, "DataType": "Float"} for name in ("images", "logits")]}
        return json.dumps({"Layers": layers, **names})


class Refitter:
    """Puts other weights into an engine."""

    def __init__(self, engine: Any, logger: Any) -> None:
        self.engine, self.logger = engine, logger
        self._given: dict[str, np.ndarray[Any, Any]] = {}
        self._missing = sorted(_weights(engine)) if engine.said["stripped"] else []

    def get_all_weights(self) -> list[str]:
        """Return the names of the weights that may be set: none where the engine was not built for it."""
        return sorted(_weights(self.engine)) if self.engine.said["refit"] else []

    def get_missing_weights(self) -> list[str]:
        """Return the names of the weights that must be set yet."""
        return [name for name in self._missing if name not in self._given]

    def set_named_weights(self, name: str, weights: np.ndarray[Any, Any]) -> bool:
        """Set weights. Return False for a name, a number or a type that the engine has not."""
        known = _weights(self.engine).get(name) if self.engine.said["refit"] else None
        if known is None or known.size != weights.size or known.dtype != weights.dtype:
            return False
        self._given[name] = weights
        return True

    def refit_cuda_engine(self) -> bool:
        """Put in what was set. Return False where weights are missing."""
        if self.get_missing_weights():
            return False
        model = onnx.load_from_string(self.engine.model)
        for tensor in model.graph.initializer:
            if tensor.name in self._given:
                tensor.CopyFrom(numpy_helper.from_array(self._given[tensor.name], tensor.name))
        self.engine.model = model.SerializeToString()
        self.engine.said["stripped"] = False
        return True


class SerializationFlag(IntEnum):
    """What is serialised."""

    EXCLUDE_WEIGHTS = 0
    EXCLUDE_LEAN_RUNTIME = 1
    INCLUDE_REFIT = 2


class ISerializationConfig:
    """How an engine is serialised: a stripped one without weights, none that can be refitted, until it is said."""

    def __init__(self, stripped: bool) -> None:
        self._set = {SerializationFlag.EXCLUDE_WEIGHTS} if stripped else set()

    def set_flag(self, flag: SerializationFlag) -> bool:
        """Set a flag."""
        self._set.add(flag)
        return True

    def clear_flag(self, flag: SerializationFlag) -> bool:
        """Clear a flag."""
        self._set.discard(flag)
        return True

    def get_flag(self, flag: SerializationFlag) -> bool:
        """Return whether a flag is set."""
        return flag in self._set


class OnnxParserRefitter:
    """Sets the weights of a graph in a refitter."""

    def __init__(self, refitter: Refitter, logger: Any) -> None:
        self._refitter, self._errors = refitter, []

    @property
    def num_errors(self) -> int:
        """How many there are."""
        return len(self._errors)

    def get_error(self, index: int) -> _ParserError:
        """Return one."""
        return self._errors[index]

    def refit_from_bytes(self, model: bytes, _path: str = "") -> bool:
        """Set all weights that the graph and the engine have. Return whether every one of the engine's was set."""
        given = {tensor.name: tensor for tensor in onnx.load_from_string(bytes(model)).graph.initializer}
        for name in self._refitter.get_all_weights():
            if name not in given or not self._refitter.set_named_weights(name, numpy_helper.to_array(given[name])):
                self._errors.append(_ParserError(f"the weights {name} of the engine are not in the graph"))
        return not self._errors


def names(version: str) -> dict[str, Any]:
    """Return the names of the module, and give engines what this half knows of them."""
    runtime.ICudaEngine.create_engine_inspector = lambda engine: EngineInspector(engine)
    runtime.ICudaEngine.create_serialization_config = lambda engine: ISerializationConfig(engine.said["stripped"])
    runtime.ICudaEngine.serialize_with_config = _serialized
    runtime.ICudaEngine.refittable = property(lambda engine: bool(engine.said["refit"]))
    kinds = (
        Builder, OnnxParser, ProfilingVerbosity, NetworkDefinitionCreationFlag, MemoryPoolType, IProgressMonitor,
        HardwareCompatibilityLevel, LayerInformationFormat, EngineInspector, Refitter, SerializationFlag,
        OnnxParserRefitter,
    )  # fmt: skip
    return {kind.__name__: kind for kind in kinds} | {"BuilderFlag": _flags(version)}


def _flags(version: str) -> Any:
    return _Flags11 if int(version.split(".")[0]) >= 11 else _Flags10


def _major() -> int:
    return int(runtime.HERE.version.split(".")[0])


def _plan(model: onnx.ModelProto, profiles: list[Any], header: dict[str, Any], **changes: Any) -> bytes:
    sizes = [tuple(shape[0] for shape in profile.shapes) for profile in profiles]
    made = runtime.plan(b"", sizes, **changes)
    magic, said, _ = made.split(b"\n", 2)
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    if header["stripped"]:
        for tensor in (each for each in kept.graph.initializer if _is_weights(numpy_helper.to_array(each))):
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name))
    whole = {**json.loads(said), **header}
    return b"\n".join([magic, json.dumps(whole).encode(), kept.SerializeToString()])


def _serialized(engine: Any, config: ISerializationConfig) -> bytes:
    engine.said["stripped"] = config.get_flag(SerializationFlag.EXCLUDE_WEIGHTS)
    engine.said["refit"] = engine.said["refit"] if config.get_flag(SerializationFlag.INCLUDE_REFIT) else ""
    return runtime._MAGIC + json.dumps(engine.said).encode() + b"\n" + engine.model


def _weights(engine: Any) -> dict[str, np.ndarray[Any, Any]]:
    graph = onnx.load_from_string(engine.model).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    return {name: value for name, value in found.items() if _is_weights(value)}


def _is_weights(values: np.ndarray[Any, Any]) -> bool:
    return values.dtype.kind not in "iu" or values.dtype == np.int8  # else it is a shape or an index


def _described(model: onnx.ModelProto, shaped: bool) -> list[dict[str, Any]]:
    """Return each node as a layer."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    tensors: dict[str, tuple[str, list[int]]] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kind = value.type.tensor_type
        tensors[value.name] = _WORDS[kind.elem_type], [dim.dim_value or -1 for dim in kind.shape.dim]
    constants = {tensor.name: (_WORDS[tensor.data_type], list(tensor.dims)) for tensor in graph.initializer}
    return [_layer(node, number, tensors, constants, shaped) for number, node in enumerate(graph.node)]


def _layer(
    node: onnx.NodeProto, number: int, tensors: dict[str, Any], constants: dict[str, Any], shaped: bool
) -> dict[str, Any]:
    kind = _KINDS.get(node.op_type, "kgen")
    cask, old = kind.startswith("Cask"), _major() < 11

    def tensor(name: str, word: str, dims: list[int]) -> dict[str, Any]:
        if not old:
            return {"Name": name, "Dimensions": dims, "Strides": [1] * len(dims), "StrideOrder": list(range(len(dims))),
                    "Datatype": word, "Format": "(Linear) Row major linear format"}  # fmt: skip
        described = _SENTENCES.get(word, word) if cask else word
        place = {"Location": "Device"} if cask else {}
        return {"Name": name, **place, "Dimensions": dims,
                "Format/Datatype": described if shaped or not cask else "N/A due to dynamic shapes"}  # fmt: skip

    inputs = [tensor(name, *tensors[name]) for name in node.input if name in tensors and name not in constants]
    fixed = [tensor(name, *constants[name]) for name in node.input if name in constants]
    if kind == "gemm":
        fixed += [tensor(f"__mye{number}{node.name}_{which}", "Float", [1]) for which in ("alpha", "beta")]
    said: dict[str, Any] = {"Name": node.name if cask and old else f"{node.name}_myl0_{number}", "LayerType": kind}
    if cask and old:
        weights = [constants[name] for name in node.input[1:] if name in constants]
        said |= {"Inputs": inputs}
        if weights:
            said |= {"Weights": {"Type": weights[0][0], "Count": int(np.prod(weights[0][1]))}}
    elif old:
        said |= {"Inputs": [*inputs, *fixed]}
    else:
        said |= {"Inputs": inputs, "Constants": fixed}
    said["Outputs"] = [tensor(name, *tensors.get(name, ("Half", []))) for name in node.output if name]
    return {**said, "TacticName": f"sm89_{kind}", "StreamId": 0, "Metadata": f"[ONNX Layer: {node.name}]"}
