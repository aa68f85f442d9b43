"""Every name of TensorRT's that a build or a run asks for is in the real bindings, though no GPU is here to run them.

What a build asks for is found by doing it: with a stand-in that takes every call and notes every name. What a run asks
for is in the doubles, or tests/runners/test_engines.py would fail. Real builds with TensorRT for RTX are in the other
files of this folder.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import re
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from support.checks import refusal
from support.documented import cuda_runtime, tensorrt_runtime
from support.documented.cuda_runtime import CudaRuntime
from support.documented.tensorrt_runtime import ONLY_RTX as ONLY_RTX_KINDS
from support.little_engine import RTX

from resnas_deploy.engines.build import _request
from resnas_deploy.engines.builder import Refused, build
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.runners.devices import gpus
from resnas_deploy.runners.gpu_cuda import CudaStream

ONLY_TENSORRT = {"create_timing_cache", "set_timing_cache", "get_timing_cache"}
ONLY_RTX = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability", "REQUIRE_USER_ALLOCATION"} | {
    f"SM{capability}" for capability in RTX.capabilities
}
OF_A_RUN = {
    "Runtime",
    "ICudaEngine",
    "IExecutionContext",
    "IRuntimeConfig",
    "IRuntimeCache",
    "ILogger",
    "ExecutionContextAllocationStrategy",
    "DynamicShapesKernelSpecializationStrategy",
    "CudaGraphStrategy",
}
OF_RTX_RUNS = {"is_stream_capturable", "create_runtime_cache", "set_runtime_cache", "get_runtime_cache"} | {
    "dynamic_shapes_kernel_specialization_strategy",
    "cuda_graph_strategy",
}
OUR_OWN = {"said", "model", "gpu", "logger", "session", "input", "output", "engine", "shapes"}  # of the doubles


def of_the_doubles(name):
    """The names that a double has, attributes that are set while it is made among them."""
    kind = getattr(tensorrt_runtime, name)
    found = {*vars(kind), *getattr(kind, "__annotations__", {})}
    for method in filter(callable, vars(kind).values()):
        code = getattr(method, "__code__", None)
        found |= set(re.findall(r"self\.(\w+)", inspect.getsource(method))) if code else set()
    return {word for word in found if not word.startswith("_")} - OUR_OWN


class StandIn(bytes):
    """Bytes, a number, a list and a function at once: whatever is asked of it is another one, and `asked` knows."""

    asked: ClassVar[set[str]] = set()
    refuses = False

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked.add(name)
        if name == "parse":
            return lambda _model: not self.refuses
        if name == "get_engine_information":
            return lambda _format: "{}"
        if name == "desc":
            return lambda: "an operator that is not known"
        if name[0] == "I" and name[1].isupper():  # an interface, to derive from
            return type(name, (), {})
        return StandIn()

    def __setattr__(self, name, value):
        self.asked.add(name)

    def __call__(self, *_args):
        return StandIn()

    def __bool__(self):
        return True

    def __getitem__(self, _index):
        return StandIn()

    def __lt__(self, other):
        return False

    def __eq__(self, _other):
        return True

    def __ne__(self, _other):
        return False

    __hash__ = bytes.__hash__

    def __int__(self):
        return 0

    def __index__(self):
        return 1  # of layers, of outputs, of errors


@pytest.fixture
def stand_in(monkeypatch):
    """All names that are asked of a module `tensorrt`, which takes the real one's place."""
    monkeypatch.setattr(StandIn, "asked", asked := set())
    monkeypatch.setitem(sys.modules, "tensorrt", StandIn())
    return asked


def all_there_is(artifact, tmp_path):
    """A request for a build with all that a builder can be told."""
    options = BuildOptions(
        profiles=(BatchProfile(1, 2, 8),),
        capabilities=RTX.capabilities,
        workspace=2**30,
        version_compatible=True,
        timing_cache=tmp_path / "cache",
        refittable=True,
        strip_weights=True,
        hardware_compatibility="ampere+",
        sparse_weights=True,
        level=5,
    )
    files = {"out": str(tmp_path / "out"), "listings": str(tmp_path / "listings")}
    return {**_request(artifact, RTX, options), "module": "tensorrt", **files}


def words(package):
    """A function that says whether a name is in the compiled bindings of a package."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"{package} is not installed")
    (library,) = Path(found.origin).parent.glob("tensorrt*.so")
    content = library.read_bytes()
    return lambda name: name.encode() + b"\0" in content


@pytest.fixture
def asked(stand_in, little, tmp_path, monkeypatch):
    """Every name that a build and one that is refused ask for."""
    request, log = all_there_is(little, tmp_path), io.StringIO()
    build(request, lambda **_: None, log)
    assert (tmp_path / "cache").exists()
    monkeypatch.setattr(StandIn, "refuses", True)
    with pytest.raises(Refused, match="an operator that is not known"):
        build(request, lambda **_: None, log)
    return stand_in


def test_tensorrt_has_them(asked):
    assert asked > ONLY_TENSORRT
    assert {"build_serialized_network", "set_shape", "STRONGLY_TYPED"} < asked
    known = words("tensorrt_bindings")
    assert {name for name in asked if not known(name)} == ONLY_RTX


def test_tensorrt_for_rtx_has_them(asked):
    known = words("tensorrt_rtx_bindings")
    assert {name for name in asked if not known(name)} <= ONLY_TENSORRT


def test_tensorrt_has_what_a_run_asks_for():
    known = words("tensorrt_bindings")
    for name in OF_A_RUN - set(ONLY_RTX_KINDS):
        assert {word for word in of_the_doubles(name) if not known(word)} <= OF_RTX_RUNS, name


@pytest.mark.parametrize("name", sorted(OF_A_RUN))
def test_tensorrt_for_rtx_has_what_a_run_asks_for(name):
    module = pytest.importorskip("tensorrt_rtx")
    assert of_the_doubles(name) - set(dir(getattr(module, name))) == set()


def test_types_of_tensors():
    module = pytest.importorskip("tensorrt_rtx")
    for dtype, numpy in tensorrt_runtime._NUMPY.items():
        assert module.nptype(getattr(module.DataType, dtype.name)) == numpy


def test_severities():
    """Lines of these are kept for messages."""
    module = pytest.importorskip("tensorrt_rtx")
    assert {severity.name for severity in tensorrt_runtime.Severity} < set(dir(module.ILogger))


def test_cuda_python_has_what_is_called():
    """And each call makes as many things as the double's: the first of a tuple is the error."""
    module = pytest.importorskip("cuda.bindings.runtime")
    names = [name[1:] for name in vars(CudaRuntime) if name.startswith("_cuda")]
    assert len(names) > 15
    assert not [name for name in names if not callable(getattr(module, name, None))]
    for kind in ("cudaError_t", "cudaMemcpyKind", "cudaStreamCaptureMode"):
        for member in getattr(CudaRuntime, kind):
            assert getattr(getattr(module, kind), member.name) == member.value
    assert module.cudaStreamNonBlocking == CudaRuntime.cudaStreamNonBlocking
    for error, said in cuda_runtime._WORDS.items():
        assert module.cudaGetErrorString(module.cudaError_t(error))[1] == said


@pytest.mark.skipif(bool(gpus()), reason="a GPU is here")
def test_cuda_python_without_a_driver():
    pytest.importorskip("cuda.bindings.runtime")
    assert "cuda:0 must do what it is asked to, found that cuda" in refusal(lambda: CudaStream("cuda:0"))
