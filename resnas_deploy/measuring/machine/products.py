"""Matrix products with a constant right side in each library that has them, ready to be timed.

Every function here is a context manager: it yields a product of each shape, and leaves the library as it was. It yields
nothing where the library cannot compute in that precision on that device.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.precision import FLOATS
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners.devices import CPU
from resnas_deploy.system import here

Shape = tuple[int, int, int]  # m, k, n of (m, k) x (k, n)
Product = Callable[[], object]
Products = Callable[[Sequence[Shape], str, str, int], AbstractContextManager[Mapping[Shape, Product]]]


@dataclass(frozen=True)
class OnGpu:
    """Work on a GPU by PyTorch, which returns its seconds: those between two events of the stream, by the GPU's clock.

    After docs.pytorch.org/docs/stable/generated/torch.cuda.Event.html. The host's clock would count the launch and the
    waiting too, which is much of a short product.
    """

    device: str
    work: Callable[[], object]

    def __call__(self) -> float:
        import torch

        with torch.cuda.device(self.device):
            event: Any = torch.cuda.Event
            before, after = (event(enable_timing=True) for _ in range(2))
            before.record()
            self.work()
            after.record()
            after.synchronize()
            return float(before.elapsed_time(after)) / 1e3


_SEED = 0  # of the factors: a GPU may run faster on values that are all alike


@contextmanager
def numpy_products(
    shapes: Sequence[Shape], device: str, precision: str, threads: int
) -> Iterator[Mapping[Shape, Product]]:
    """Use NumPy's BLAS, in fp32. How many threads it starts is decided when it is imported, and not to be changed."""

    def product(shape: Shape) -> Product:
        left, right = _factors(shape)
        out = np.empty((shape[0], shape[2]), np.float32)
        return lambda: np.matmul(left, right, out=out)

    fits = device == CPU and precision == "fp32" and threads == _blas_threads(os.environ)
    yield {shape: product(shape) for shape in shapes} if fits else {}


@contextmanager
def torch_products(
    shapes: Sequence[Shape], device: str, precision: str, threads: int
) -> Iterator[Mapping[Shape, Product]]:
    """Use PyTorch, on the CPU or on CUDA, by events of the GPU. There fp32 is not TF32, whatever PyTorch is set to."""
    import torch

    from resnas_deploy.runners.torch_settings import exact_on, torch_threads

    dtype = FLOATS[precision].torch

    def product(shape: Shape) -> Product:
        left, right = (torch.from_numpy(factor).to(device, dtype) for factor in _factors(shape))
        out = torch.empty((shape[0], shape[2]), dtype=dtype, device=device)

        def once() -> None:
            torch.mm(left, right, out=out)

        return once if device == CPU else OnGpu(device, once)

    if device != CPU and not torch.cuda.is_available():
        yield {}
        return
    with torch_threads(threads), exact_on(torch.device(device)), torch.inference_mode():
        yield {shape: product(shape) for shape in shapes}


@contextmanager
def ort_products(
    shapes: Sequence[Shape], device: str, precision: str, threads: int
) -> Iterator[Mapping[Shape, Product]]:
    """Use ONNX Runtime on the CPU, in fp32: other precisions it widens to that."""
    ort = import_quietly("onnxruntime")

    def product(shape: Shape) -> Product:
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = threads
        left, right = _factors(shape)
        session = ort.InferenceSession(_graph(left, right), settings, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"left": left})

    yield {shape: product(shape) for shape in shapes} if device == CPU and precision == "fp32" else {}


@contextmanager
def openvino_products(
    shapes: Sequence[Shape], device: str, precision: str, threads: int
) -> Iterator[Mapping[Shape, Product]]:
    """Use OpenVINO on the CPU, in the precisions that the CPU has instructions for."""
    from resnas_deploy.runners.devices import openvino_core

    core = openvino_core()
    hint = FLOATS[precision].openvino
    settings = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }

    def product(shape: Shape) -> Product:
        left, right = _factors(shape)
        request = core.compile_model(core.read_model(_graph(left, right)), "CPU", settings).create_infer_request()
        return lambda: request.infer({"left": left}, share_inputs=True, share_outputs=True)

    fits = device == CPU and precision.upper() in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    yield {shape: product(shape) for shape in shapes} if fits else {}


_LIBRARIES: Mapping[str, Products] = {
    "numpy": numpy_products,
    "torch": torch_products,
    "onnxruntime": ort_products,
    "openvino": openvino_products,
}


def installed() -> Mapping[str, Products]:
    """Return the libraries that are here, by the name of their module."""
    return {name: products for name, products in _LIBRARIES.items() if importlib.util.find_spec(name)}


def _blas_threads(environment: Mapping[str, str]) -> int:
    """Return what its variables say, else as many as the cores that this process may run on, whatever its quota."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        number = environment.get(name, "").strip()
        if number.isascii() and number.isdecimal() and 0 < len(number) < 5:
            return min(int(number), len(here.cores()))
    return len(here.cores())


def _factors(shape: Shape) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    m, k, n = shape
    rng = np.random.default_rng(_SEED)
    return rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)


def _graph(left: NDArray[np.float32], right: NDArray[np.float32]) -> bytes:
    """Return an ONNX graph that multiplies its input `left` by a constant."""
    from onnx import TensorProto, helper, numpy_helper

    shape = (left.shape[0], right.shape[1])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["left", "right"], ["out"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.FLOAT, left.shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
    serialised: bytes = model.SerializeToString()
    return serialised
