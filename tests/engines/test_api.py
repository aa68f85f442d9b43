"""Every name of TensorRT's that a build or a run asks for is in the real bindings, though no GPU is here to run them.

What is asked for is found by doing it: with a stand-in that takes every call and notes every name. Real builds with
TensorRT for RTX are in the other files of this folder.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from support.little_engine import RTX

from resnas_deploy.engines.build import _request
from resnas_deploy.engines.builder import Refused, build
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.tensorrt import TensorRTRunner

ONLY_TENSORRT = {"create_timing_cache", "set_timing_cache", "get_timing_cache"}
ONLY_RTX = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability"} | {
    f"SM{capability}" for capability in RTX.capabilities
}


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
    return {**_request(artifact, RTX, options), "module": "tensorrt", "out": str(tmp_path / "out")}


def words(package):
    """A function that says whether a name is in the compiled bindings of a package."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"{package} is not installed")
    (library,) = Path(found.origin).parent.glob("tensorrt*.so")
    content = library.read_bytes()
    return lambda name: name.encode() + b"\0" in content


def run_one(tmp_path, monkeypatch):
    """Load an engine and run it, on the stand-in alone."""
    monkeypatch.setattr("torch.cuda.device", lambda _device: nullcontext())
    monkeypatch.setattr("torch.cuda.current_stream", lambda _device: SimpleNamespace(cuda_stream=0))
    (tmp_path / "engine").write_bytes(b"")
    engine = SimpleNamespace(path=tmp_path / "engine", file=tmp_path / "engine", made_of={"builder": "tensorrt 11"})
    network = SimpleNamespace(source="here", precision="fp16")
    options = Options(threads=1, device="cpu", engine=engine)
    with TensorRTRunner(network, options, name="tensorrt", module="tensorrt") as runner:
        assert runner.version == "tensorrt 11"
        runner.run(np.zeros((1, 3, 8, 8), np.float32))


@pytest.fixture
def asked(stand_in, little, tmp_path, monkeypatch):
    """Every name that a build, one that is refused, and a run ask for."""
    request, log = all_there_is(little, tmp_path), io.StringIO()
    build(request, lambda **_: None, log)
    assert (tmp_path / "cache").exists()
    monkeypatch.setattr(StandIn, "refuses", True)
    with pytest.raises(Refused, match="an operator that is not known"):
        build(request, lambda **_: None, log)
    monkeypatch.setattr(StandIn, "refuses", False)
    run_one(tmp_path, monkeypatch)
    return stand_in


def test_tensorrt_has_them(asked):
    assert asked > ONLY_TENSORRT
    assert {"build_serialized_network", "set_shape", "STRONGLY_TYPED", "execute_async_v3"} < asked
    known = words("tensorrt_bindings")
    assert {name for name in asked if not known(name)} == ONLY_RTX


def test_tensorrt_for_rtx_has_them(asked):
    known = words("tensorrt_rtx_bindings")
    assert {name for name in asked if not known(name)} <= ONLY_TENSORRT
