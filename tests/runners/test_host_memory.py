"""Which package allocates a GPU's memory, and what is said where none can."""

from __future__ import annotations

import sys

import pytest
from support.checks import refusal

from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners import devices, gpu
from resnas_deploy.runners.registry import RUNNERS

ENGINES = ["tensorrt", "tensorrt-rtx"]


@pytest.fixture
def here(monkeypatch):
    """A function: which packages a machine with a GPU has."""

    def make(cuda_python, torch):
        monkeypatch.setattr(devices, "gpus", lambda: ("NVIDIA L4",))
        monkeypatch.setattr(devices, "has_cuda_python", lambda: cuda_python)
        monkeypatch.setattr(devices, "torch_has_cuda", lambda: torch)

    return make


@pytest.mark.parametrize("name", ENGINES)
def test_engines_need_one_of_two_packages(here, monkeypatch, name):
    kind = RUNNERS[name]
    monkeypatch.setattr(type(kind), "_is_missing", lambda _: False)
    for cuda_python, torch in ((True, False), (False, True), (True, True)):
        here(cuda_python, torch)
        assert "memory of a GPU" not in (kind.problem("cuda:0") or "")
    here(False, False)
    assert "PyTorch with CUDA or by cuda-python, and neither is installed" in kind.problem("cuda:0")
    assert kind.remedy("cuda:0") == f"pip install 'resnas[{name.removeprefix('tensorrt-')}]'"


@pytest.mark.parametrize("name", ENGINES)
def test_no_package_is_wanted_where_there_is_no_gpu(monkeypatch, hide, name):
    monkeypatch.setattr(devices, "gpus", lambda: ())
    hide("torch", "cuda.bindings.runtime")
    monkeypatch.setattr(type(RUNNERS[name]), "_is_missing", lambda _: False)
    assert RUNNERS[name].problem() == "no NVIDIA GPU was found here"


def test_a_stream_of_neither(here):
    here(False, False)
    message = refusal(lambda: gpu.open_stream("cuda:0"), NotAvailable)
    assert "neither is installed; install it with: pip install cuda-python" in message


def test_a_package_of_which_a_parent_is_missing(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("cuda.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cuda", None)
    assert not devices.has_cuda_python()
