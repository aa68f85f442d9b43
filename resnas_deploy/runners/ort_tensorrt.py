"""What ONNX Runtime's TensorRT provider is told: batch sizes, and a folder of engines that it has built.

Names and values are those of https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html; through
Python it takes `True` and `False` for switches and refuses any name that it does not know
(microsoft/onnxruntime, onnxruntime/python/onnxruntime_pybind_state.cc).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_writable
from resnas_deploy.runners.base import Network

ROUNDED = "tf32"  # in the name of an engine whose float32 is


def profile(network: Network) -> Mapping[str, str]:
    """Return the batch sizes that an engine is to take; without them it would be built anew for each new one.

    A bare file takes whatever batch it is given, so that its engine grows with each size that is run.
    """
    if network.batch.fixed or isinstance(network, OnnxFile):
        return {}
    kind, size = input_named(network.input), network.image_size
    batches = {"min": network.batch.least, "opt": network.batch.most, "max": network.batch.most}
    shapes = {what: "x".join(map(str, kind.shape(batch, size))) for what, batch in batches.items()}
    return {f"trt_profile_{what}_shapes": f"{INPUT}:{shape}" for what, shape in shapes.items()}


def caching(folder: Path, network: Network, *, rounds: bool) -> Mapping[str, str]:
    """Return the options that have engines and timings kept in a folder, which is made if it is not there.

    An engine's name begins with the sha256 of its graph, and with whether float32 is rounded: by itself the provider
    names it after the graph's name and the names in it, which two networks may share
    (https://github.com/microsoft/onnxruntime/issues/32254 and 6455). Timings are of one GPU and serve all networks.
    Raise `BadInput` or `StorageError` where nothing can be written there.
    """
    whole = os.path.realpath(folder)
    try:
        Path(whole).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"`engine_cache` must be a folder, found {folder}: {error.strerror}") from None
    check_writable(Path(whole) / "engine")
    return {
        "trt_engine_cache_enable": str(True),
        "trt_engine_cache_path": whole,
        "trt_engine_cache_prefix": f"{network.digest}_{ROUNDED}" if rounds else network.digest,
        "trt_timing_cache_enable": str(True),
        "trt_timing_cache_path": whole,
    }
