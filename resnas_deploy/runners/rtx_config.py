"""How TensorRT for RTX makes execution contexts: its `IRuntimeConfig`, and the cache of what it compiles for a GPU.

An engine for RTX holds code that is compiled for the GPU when it first runs. EAGER compiles it at once for each shape;
LAZY would run fallback kernels until it is done, and a captured CUDA graph would run them for ever. What was compiled
is kept beside the engine, `ID.cache`, and another process on such a GPU reads it (NVIDIA's "Working with Runtime
Cache" and `IRuntimeCache.deserialize`, which refuses what is damaged or of another GPU, driver or version).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.reading import read_bytes

SUFFIX = ".cache"
MOST_BYTES = 2_000_000_000  # of a cache: many times what a network compiles to
_log = logging.getLogger(__name__)


class RuntimeConfig:
    """The configuration of every context of one engine, which is given its activation memory by whoever runs it."""

    def __init__(self, trt: Any, engine: Any, built: Path) -> None:
        self._path = built.with_suffix(SUFFIX)
        self._config = engine.create_runtime_config()
        self._config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        self._config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        self._config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED  # graphs are captured here
        self._cache = self._config.create_runtime_cache()
        self._kept = self._read()
        self._config.set_runtime_cache(self._cache)

    def contexts(self) -> Any:
        """Return the configuration, for `create_execution_context`."""
        return self._config

    def keep_cache(self) -> None:
        """Write the cache where something was compiled since it was read or written. The last of several writers wins.

        A place that cannot be written to costs the next process the time of compiling, and nothing else.
        """
        content = bytes(self._cache.serialize())
        if content == self._kept:
            return
        try:
            with atomic_file(self._path) as partial:
                partial.write_bytes(content)
        except (BadInput, StorageError) as error:
            _log.info(f"what was compiled for this GPU cannot be kept: {error}")
        self._kept = content

    def _read(self) -> bytes:
        """Read what is kept into the cache; what is of no use here is replaced later."""
        if not self._path.exists():
            return b""
        try:
            content = read_bytes(self._path, MOST_BYTES)
        except BadInput as error:
            _log.warning(f"the runtime cache is not used: {error}")
            return b""
        if not self._cache.deserialize(content):
            _log.warning(
                f"{self._path} is damaged, or of another GPU, driver or version: what it holds is compiled anew, and "
                "then replaced"
            )
            return b""
        return content
