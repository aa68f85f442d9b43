"""The runtime half of `tensorrt` and `tensorrt_rtx`, over the double of the CUDA runtime; the numbers are real.

After NVIDIA's TensorRT documentation ("Working with Dynamic Shapes", "CUDA Graphs", "Version Compatibility" and the
Python API's `Runtime`, `ICudaEngine`, `IExecutionContext`; docs.nvidia.com/deeplearning/tensorrt) and that of TensorRT
for RTX ("Working with Runtime Cache", "Working with RTX CUDA Graphs", the docstrings of tensorrt_rtx 1.7.1:
`IRuntimeCache.deserialize`, `BuilderFlag.REQUIRE_USER_ALLOCATION`, `DynamicShapesKernelSpecializationStrategy`).

`HERE` is the machine: its CUDA runtime, its GPUs' names, the versions. An engine is a `plan`: a header and the ONNX
graph, which ONNX Runtime runs on the CPU when the stream comes to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime as ort
from support.documented.cuda_runtime import CudaRuntime

_MAGIC = b"a documented plan\n"
TENSORRT, RTX = "tensorrt", "tensorrt_rtx"
ONLY_RTX = ("IRuntimeCache", "DynamicShapesKernelSpecializationStrategy", "CudaGraphStrategy")


@dataclass
class Machine:
    """What the doubles find, and what they did: shapes that code was compiled for, and kernels that ran."""

    cuda: CudaRuntime = field(default_factory=CudaRuntime)
    gpus: tuple[str, ...] = ("NVIDIA L4",)
    module: str = TENSORRT
    version: str = "11.4.0.106"
    compiled: list[tuple[int, ...]] = field(default_factory=list)
    ran: list[tuple[str, tuple[int, ...], int]] = field(default_factory=list)  # kernels, shape, profile
    loaded: int = 0  # engines


HERE = Machine()


def as_module(machine: Machine) -> ModuleType:
    """Return the module on a machine, which becomes `HERE`."""
    global HERE
    HERE = machine
    module = ModuleType(machine.module)
    module.__version__ = machine.version
    names = [name for name in _NAMES if machine.module == RTX or name not in ONLY_RTX]
    vars(module).update({name: globals()[name] for name in names})
    return module


def plan(model: bytes, profiles: Sequence[tuple[int, int, int]], **changes: Any) -> bytes:
    """Return a serialised engine of a graph, built on `HERE`, but for `changes` of the header."""
    header = {
        "module": HERE.module,
        "version": HERE.version,
        "gpu": HERE.gpus[0] if HERE.module == TENSORRT else "",  # one of RTX runs on any that it was built for
        "profiles": [list(profile) for profile in profiles],
        "host_code": False,  # version compatible
        "user_allocation": HERE.module == RTX,
        "activation_bytes": 4096,
    }
    assert changes.keys() <= header.keys()
    return _MAGIC + json.dumps(header | changes).encode() + b"\n" + model


class DataType(Enum):
    """Types of tensors."""

    FLOAT = 0
    HALF = 1
    INT8 = 2
    UINT8 = 5


_NUMPY = {DataType.FLOAT: np.float32, DataType.HALF: np.float16, DataType.INT8: np.int8, DataType.UINT8: np.uint8}
_ONNX = {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF, "tensor(uint8)": DataType.UINT8}


def nptype(dtype: DataType) -> Any:
    """Return NumPy's type."""
    return _NUMPY[dtype]


class ExecutionContextAllocationStrategy(Enum):
    """Who allocates the memory of activations."""

    STATIC = 0
    ON_PROFILE_CHANGE = 1
    USER_MANAGED = 2


class DynamicShapesKernelSpecializationStrategy(Enum):
    """When kernels are compiled for a shape; LAZY runs fallback kernels meanwhile."""

    LAZY = 0
    EAGER = 1
    NONE = 2


class CudaGraphStrategy(Enum):
    """Whether the runtime captures graphs itself."""

    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class Severity(Enum):
    """Of a line of a log."""

    INTERNAL_ERROR = 0
    ERROR = 1


class ILogger:
    """To derive from."""

    def log(self, severity: Severity, message: str) -> None:
        """Take a line."""
        raise NotImplementedError


class Runtime:
    """Deserialises engines."""

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
        """Return the engine; None of another version or GPU, with host code that is not allowed, or damaged."""
        try:
            header, model = bytes(plan).removeprefix(_MAGIC).split(b"\n", 1)
            said = json.loads(header)
        except ValueError:
            return self._refuse("Serialized engine does not conform to expected format")
        if said["module"] != HERE.module or (said["version"] != HERE.version and not said["host_code"]):
            return self._refuse(f"The engine plan file is of version {said['version']}, expecting {HERE.version}")
        if said["host_code"] and not self.engine_host_code_allowed:
            return self._refuse("The engine contains host code, and IRuntime::getEngineHostCodeAllowed() is false")
        if said["gpu"] and said["gpu"] != HERE.gpus[HERE.cuda.device]:
            return self._refuse("The engine plan file is generated on an incompatible device")
        HERE.loaded += 1
        return ICudaEngine(said, model, HERE.cuda.device, self._logger)

    def _refuse(self, why: str) -> None:
        self._logger.log(Severity.ERROR, f"IRuntime::deserializeCudaEngine: Error Code 1: {why}")


class ICudaEngine:
    """An engine on one GPU."""

    def __init__(self, said: dict[str, Any], model: bytes, gpu: int, logger: ILogger) -> None:
        self.said, self.gpu, self.logger, self.model = said, gpu, logger, model
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = 1
        self.session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
        self._tensors = {found.name: found for found in (*self.session.get_inputs(), *self.session.get_outputs())}
        (self.input,) = (found.name for found in self.session.get_inputs())
        (self.output,) = (found.name for found in self.session.get_outputs())
        self.num_io_tensors = len(self._tensors)
        self.num_optimization_profiles = len(said["profiles"])
        self.device_memory_size_v2 = said["activation_bytes"]

    def get_tensor_name(self, index: int) -> str:
        """Return the name of an input or output."""
        return list(self._tensors)[index]

    def get_tensor_dtype(self, name: str) -> DataType:
        """Return the type that a buffer must have."""
        return _ONNX[self._tensors[name].type]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape, -1 where it is known at run time only."""
        return tuple(size if isinstance(size, int) else -1 for size in self._tensors[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        """Return the least, the usual and the largest shape of a profile."""
        sizes = self.get_tensor_shape(name)[1:]
        return [(batch, *sizes) for batch in self.said["profiles"][profile_index]]

    def create_runtime_config(self) -> IRuntimeConfig:
        """Return a configuration for contexts."""
        return IRuntimeConfig()

    def create_execution_context(
        self, how: Any = ExecutionContextAllocationStrategy.STATIC
    ) -> IExecutionContext | None:
        """Return a context; None where the engine requires that its user allocates, who was not told to."""
        if not isinstance(how, ExecutionContextAllocationStrategy | IRuntimeConfig):
            raise TypeError("create_execution_context(): incompatible function arguments")
        config = how if isinstance(how, IRuntimeConfig) else IRuntimeConfig(how)
        managed = config.get_execution_context_allocation_strategy() == ExecutionContextAllocationStrategy.USER_MANAGED
        if self.said["user_allocation"] and not managed:
            self.logger.log(Severity.ERROR, "the engine requires user allocation")
            return None
        return IExecutionContext(self, config)


class IRuntimeConfig:
    """How contexts are made."""

    def __init__(self, strategy: Any = ExecutionContextAllocationStrategy.STATIC) -> None:
        self._strategy, self._cache = strategy, None
        self.dynamic_shapes_kernel_specialization_strategy = DynamicShapesKernelSpecializationStrategy.LAZY
        self.cuda_graph_strategy = CudaGraphStrategy.DISABLED

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        """Say who allocates."""
        self._strategy = strategy

    def get_execution_context_allocation_strategy(self) -> ExecutionContextAllocationStrategy:
        """Return who allocates."""
        return self._strategy

    def create_runtime_cache(self) -> IRuntimeCache:
        """Return an empty cache."""
        return IRuntimeCache()

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        """Use a cache."""
        self._cache = cache
        return True

    def get_runtime_cache(self) -> IRuntimeCache | None:
        """Return the cache in use."""
        return self._cache


class IRuntimeCache:
    """What was compiled for this GPU, by this version."""

    def __init__(self) -> None:
        self.shapes: set[tuple[int, ...]] = set()

    def serialize(self) -> memoryview:
        """Return it as memory with the buffer protocol, as `IHostMemory` is."""
        return memoryview(json.dumps([_environment(), sorted(self.shapes)]).encode())

    def deserialize(self, blob: bytes) -> bool:
        """Load what was serialised. Return False, and stay as it was, for what is damaged or of another environment."""
        try:
            environment, shapes = json.loads(bytes(blob))
        except ValueError:
            return False
        if environment != _environment():
            return False
        self.shapes |= {tuple(shape) for shape in shapes}
        return True


def _environment() -> list[str]:
    return [HERE.module, HERE.version, HERE.gpus[HERE.cuda.device]]


class IExecutionContext:
    """One execution at a time of an engine, in one shape of one profile."""

    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig) -> None:
        self.engine, self._config = engine, config
        self.active_optimization_profile = 0
        self._shape: tuple[int, ...] | None = None
        self._addresses: dict[str, int] = {}
        self._memory = 0
        self._settled = False  # whether it was enqueued since its shape changed

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """Choose a profile, which forgets the shapes."""
        if not 0 <= profile_index < self.engine.num_optimization_profiles or stream_handle not in (
            0,
            *HERE.cuda.streams,
        ):  # 0: the default stream
            return self._refuse(f"Optimization profile {profile_index} is out of range")
        if profile_index != self.active_optimization_profile:
            self._shape, self._settled = None, False
        self.active_optimization_profile = profile_index
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        """Set a shape. Return False outside the active profile."""
        if name != self.engine.input:
            return self._refuse(f"Given invalid tensor name: {name}")
        least, _, most = self.engine.get_tensor_profile_shape(name, self.active_optimization_profile)
        inside = len(shape) == len(least) and all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
        if not inside:
            return self._refuse(
                f"Set dimension {list(shape)} for tensor {name} does not satisfy any optimization profile"
            )
        if tuple(shape) != self._shape:
            self._shape, self._settled = tuple(shape), False
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Return a shape, -1 where the input's shape is not set yet."""
        sizes = self.engine.get_tensor_shape(name)
        return sizes if self._shape is None else (self._shape[0], *sizes[1:])

    def infer_shapes(self) -> list[str]:
        """Return the inputs whose shape is not set."""
        return [self.engine.input] if -1 in self.get_tensor_shape(self.engine.input) else []

    def set_tensor_address(self, name: str, memory: int) -> bool:
        """Set where an input or output lies."""
        if name not in (self.engine.input, self.engine.output) or not memory:
            return self._refuse(f"Given invalid tensor name or address: {name}")
        self._addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        """Set where activations lie: aligned to 256 bytes, and no less than the engine says."""
        if memory % 256 or size < self.engine.device_memory_size_v2:
            self._refuse("the device memory is not aligned or too small")
            return
        self._memory = memory

    def is_stream_capturable(self, stream: int) -> bool:
        """Whether nothing is allocated while it runs. Of TensorRT for RTX alone."""
        if HERE.module != RTX:
            raise AttributeError("'IExecutionContext' object has no attribute 'is_stream_capturable'")
        return stream in HERE.cuda.streams and bool(self.engine.said["user_allocation"])

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Enqueue. Return False where something is not set, or a capture has the first run of a shape."""
        managed = ExecutionContextAllocationStrategy.USER_MANAGED
        user_managed = self._config.get_execution_context_allocation_strategy() == managed
        if self.infer_shapes() or len(self._addresses) < 2 or (user_managed and not self._memory):
            return self._refuse("not everything is set")
        assert self._shape is not None
        stream = HERE.cuda.streams[stream_handle]
        if stream.capturing is not None and not self._settled:
            stream.invalidated = True
            return self._refuse("the first enqueue after a change of shapes cannot be captured")
        kernels = self._kernels()
        self._settled = True
        shape, addresses, memory = self._shape, dict(self._addresses), self._memory
        logits = self.get_tensor_shape(self.engine.output)
        profile, engine = self.active_optimization_profile, self.engine

        def run() -> None:
            if memory:
                HERE.cuda.view(memory, (engine.device_memory_size_v2,), np.uint8)[:] = 0xAA
            images = HERE.cuda.view(addresses[engine.input], shape, nptype(engine.get_tensor_dtype(engine.input)))
            (found,) = engine.session.run(None, {engine.input: images.copy()})
            HERE.cuda.view(addresses[engine.output], logits, nptype(engine.get_tensor_dtype(engine.output)))[:] = found
            HERE.ran.append((kernels, shape, profile))

        return HERE.cuda.enqueue(stream_handle, run, holds=memory or id(self))

    def _kernels(self) -> str:
        """Return which kernels run: those of RTX are compiled when a shape first runs, at once or meanwhile."""
        if HERE.module != RTX:
            return "built"
        assert self._shape is not None
        cache = self._config.get_runtime_cache() or IRuntimeCache()
        strategy = self._config.dynamic_shapes_kernel_specialization_strategy
        if strategy != DynamicShapesKernelSpecializationStrategy.EAGER:
            return "fallback"
        if self._shape not in cache.shapes:
            HERE.compiled.append(self._shape)
            cache.shapes.add(self._shape)
        return "specialised"

    def _refuse(self, why: str) -> bool:
        self.engine.logger.log(Severity.ERROR, f"IExecutionContext: Error Code 3: API Usage Error ({why})")
        return False


_NAMES = (
    "CudaGraphStrategy",
    "DataType",
    "DynamicShapesKernelSpecializationStrategy",
    "ExecutionContextAllocationStrategy",
    "ICudaEngine",
    "IExecutionContext",
    "ILogger",
    "IRuntimeCache",
    "IRuntimeConfig",
    "Runtime",
    "nptype",
)
