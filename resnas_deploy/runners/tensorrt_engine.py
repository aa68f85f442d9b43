"""A loaded engine of TensorRT or of TensorRT for RTX, and execution contexts of it.

Written after NVIDIA's TensorRT documentation ("Working with Dynamic Shapes", "CUDA Graphs" under its best practices,
`IExecutionContext`, `ICudaEngine`) and that of TensorRT for RTX, which shares the calls. Tests hold them to the names
in the real bindings; docs/gpu.md tells what has run on a GPU.
"""

from __future__ import annotations

import importlib
import threading
from collections import deque
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.batch import profile_for
from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import EngineFile
from resnas_deploy.runners.gpu import GpuStream, M
from resnas_deploy.runners.rtx_config import RuntimeConfig

RTX = "tensorrt_rtx"
_loading = threading.Lock()
_loaded: WeakValueDictionary[tuple[object, ...], LoadedEngine] = WeakValueDictionary()
_logs: dict[str, Log] = {}


class Profile(NamedTuple):
    """Batch sizes that an engine takes by its profile of that number, which is tuned for `usual`."""

    number: int
    least: int
    usual: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}:{self.usual}:{self.most}"


class LoadedEngine:
    """An engine in the memory of one GPU. All runners of this process that run it there share it."""

    def __init__(self, module: str, built: EngineFile) -> None:
        self._trt = importlib.import_module(module)
        self.path = built.path
        self.log = _log_of(self._trt, module)
        self._runtime = self._trt.Runtime(self.log.logger)
        if built.made_of["version_compatible"]:
            self._runtime.engine_host_code_allowed = True  # such an engine brings code of the runtime that made it
        self.engine = self._runtime.deserialize_cuda_engine(built.file.read_bytes())
        if self.engine is None:
            raise BadInput(
                f"{self.path} must be for this GPU and this version of {module} ({self._trt.__version__}), found that "
                f"it cannot be loaded{self.log.said()}; build it here by `build()`"
            )
        names = {self.engine.get_tensor_name(number) for number in range(self.engine.num_io_tensors)}
        if names != {INPUT, OUTPUT}:
            raise BadInput(f"{self.path} must take {INPUT} and give {OUTPUT}, found {', '.join(sorted(names))}")
        self.profiles = tuple(self._profile(number) for number in range(self.engine.num_optimization_profiles))
        self._user_managed = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._config = RuntimeConfig(self._trt, self.engine, built.path) if module == RTX else None

    def profile_for(self, batch: int) -> Profile:
        """Return the profile that a batch is run in.

        Raise `BadInput` that lists the profiles where none does.
        """
        found = profile_for(self.profiles, batch)
        if found is None:
            profiles = "its profile" if len(self.profiles) == 1 else "one of its profiles"
            raise BadInput(
                f"a batch for {self.path} must lie in {profiles} {', '.join(map(str, self.profiles))}, found {batch}; "
                "build an engine with another of `profiles`"
            )
        return found

    def check_images(self, images: NDArray[Any]) -> Profile:
        """Return the profile for images `(B, ..)`. Raise `BadInput` where the engine takes others."""
        profile = self.profile_for(len(images))
        wanted, found = self.dtype(INPUT), images.dtype
        size = tuple(self.engine.get_tensor_shape(INPUT))[1:]
        if found != wanted or images.shape[1:] != size:
            raise BadInput(
                f"the images for {self.path} must be {wanted} of shape (B, {', '.join(map(str, size))}), "
                f"found {found} of shape {images.shape}"
            )
        return profile

    def dtype(self, tensor: str) -> Any:
        """Return NumPy's type of an input or output."""
        return np.dtype(self._trt.nptype(self.engine.get_tensor_dtype(tensor)))

    def new_context(self) -> Any:
        """Make an execution context that is given its activation memory. Raise `BadInput` where that fails."""
        with _loading:
            way = self._config.contexts() if self._config else self._user_managed
            context = self.engine.create_execution_context(way)
        if context is None:
            raise BadInput(f"{self.path} must be executable here, found that no context can be made{self.log.said()}")
        return context

    def check_capturable(self, context: Any, handle: int) -> None:
        """Raise `BadInput` where a context that ran once cannot be captured on that stream. TensorRT has no such call.

        An engine of TensorRT for RTX may allocate memory while it runs, unless it was built not to.
        """
        if self._config and not context.is_stream_capturable(handle):
            raise BadInput(
                f"{self.path} must be an engine that can be captured in a CUDA graph, found that {RTX} says it cannot "
                "be; build it again by `build()`, or leave `cuda_graph` out"
            )

    def keep_compiled(self) -> None:
        """Keep on disk what was compiled for this GPU while the engine ran, where it is compiled then."""
        if self._config:
            self._config.keep_cache()

    def _profile(self, number: int) -> Profile:
        fixed = int(next(iter(self.engine.get_tensor_shape(INPUT))))
        if fixed != -1:
            return Profile(number, fixed, fixed, fixed)
        ends = self.engine.get_tensor_profile_shape(INPUT, number)
        return Profile(number, *(int(next(iter(shape))) for shape in ends))


class Context:
    """An execution context of one batch size, its addresses and its activation memory: calling it enqueues it."""

    def __init__(self, loaded: LoadedEngine, stream: GpuStream[M], images: M, profile: Profile, activations: M) -> None:
        self._loaded, self._stream = loaded, stream
        self._context = loaded.new_context()
        self._must(self._context.set_optimization_profile_async(profile.number, stream.handle), f"profile {profile}")
        stream.synchronize()  # the runtime may copy for another profile
        self._context.set_device_memory(activations.address, _size(activations))
        self._must(self._context.set_input_shape(INPUT, images.shape), f"images of shape {images.shape}")
        if missing := self._context.infer_shapes():
            raise BadInput(f"{loaded.path} must need no more than {INPUT}, found that it needs {', '.join(missing)}")
        shape = tuple(int(size) for size in self._context.get_tensor_shape(OUTPUT))
        self._logits = stream.memory(shape, loaded.dtype(OUTPUT))
        for tensor, memory in ((INPUT, images), (OUTPUT, self._logits)):
            self._must(self._context.set_tensor_address(tensor, memory.address), f"the address of {tensor}")

    def __call__(self) -> Any:
        """Put one run on the stream. Return where its logits `(B, classes)` will be."""
        self._must(self._context.execute_async_v3(self._stream.handle), "a batch")
        return self._logits

    def warm_up(self, *, captured: bool) -> None:
        """Run once, as NVIDIA's documentation wants it after a new shape and before a capture, and keep what it made.

        Raise `BadInput` where it is to be captured and cannot be.
        """
        self()
        self._stream.synchronize()
        self._loaded.keep_compiled()
        if captured:
            self._loaded.check_capturable(self._context, self._stream.handle)

    def _must(self, taken: object, what: str) -> None:
        if not taken:
            raise BadInput(f"{self._loaded.path} must take {what}, found that it refused{self._loaded.log.said()}")


class Log:
    """What a module's runtimes said that was an error, the last of it. A process has one logger for each module.

    A second one would be ignored: "the logger passed into createInferRuntime differs from one already registered".
    """

    def __init__(self, trt: Any) -> None:
        self._said = said = deque[str](maxlen=1)

        class Logger(trt.ILogger):  # type: ignore[misc]  # the module has no types
            def log(self, severity: Any, message: str) -> None:
                if severity.name in ("ERROR", "INTERNAL_ERROR"):
                    said.append(message)

        self.logger = Logger()

    def said(self) -> str:
        """Return the last error as the end of a message, and forget it."""
        return f": {' '.join(self._said.pop().split())[:300]}" if self._said else ""


def load_engine(module: str, built: EngineFile, device: str) -> LoadedEngine:
    """Return a built engine in the memory of the current GPU, `device`. Raise `BadInput` where the runtime refuses it.

    Whoever loads it while another has it is given the same.
    """
    status = built.file.stat()
    key = module, device, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
    with _loading:
        if (found := _loaded.get(key)) is None:
            found = _loaded[key] = LoadedEngine(module, built)
        return found


def _size(memory: Any) -> int:
    (size,) = memory.shape  # of bytes
    return int(size)


def _log_of(trt: Any, module: str) -> Log:
    if module not in _logs:
        _logs[module] = Log(trt)
    return _logs[module]
