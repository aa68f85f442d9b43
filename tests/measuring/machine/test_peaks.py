"""The highest rates of matrix products and of memory, with clocks of our own, and on the libraries that are here."""

from __future__ import annotations

import re
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.file_tree import tree

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.machine.peaks import Budget, PeakRate, bandwidth_peak, best, buffer_bytes, product_peak
from resnas_deploy.measuring.machine.products import installed
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.devices import openvino_core

SHAPE = (32, 48, 16)


class Clock:
    """Moves only when a step or a rest moves it."""

    def __init__(self):
        self.now, self.calls = 10.0, []

    def step(self, name, *seconds):
        """A step that takes these seconds, one after another, and the last of them from then on."""
        left = list(seconds)

        def once():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return once

    def budget(self, seconds):
        return Budget(seconds, lambda: self.now, lambda rest: self.calls.append("rest"))


def test_the_best_of_all_runs():
    clock = Clock()
    steps = {"slow": (clock.step("slow", 2.0), 100.0), "fast": (clock.step("fast", 5.0, 0.5, 1.0), 100.0)}
    assert best(steps, clock.budget(20)) == PeakRate(200.0, "fast")


def test_rates_count_the_work_and_not_the_time_alone():
    clock = Clock()
    steps = {"little": (clock.step("little", 1.0), 10.0), "much": (clock.step("much", 2.0), 30.0)}
    assert best(steps, clock.budget(6)) == PeakRate(15.0, "much")
    assert clock.calls == ["little", "much"] * 2


def test_no_larger_step_is_begun_after_one_that_takes_the_whole_share():
    clock = Clock()
    steps = {name: (clock.step(name, seconds), 1.0) for name, seconds in (("a", 1.0), ("b", 3.0), ("c", 60.0))}
    assert best(steps, clock.budget(4), share=0.5) == PeakRate(1.0, "a")
    assert clock.calls == ["a", "b"]


def library(clock, seconds):
    """A library whose products take that long; None has none."""

    @contextmanager
    def products(shapes, device, precision, threads):
        yield {} if seconds is None else {shape: clock.step(shape, seconds) for shape in shapes}

    return products


def test_the_best_library_is_named_and_operations_are_counted():
    clock = Clock()
    libraries = {name: library(clock, seconds) for name, seconds in (("a", 1.0), ("b", 0.5), ("none", None))}
    found = product_peak("cpu", "fp32", 2, clock.budget(9), libraries, (SHAPE,))
    assert found == PeakRate(2 * 32 * 48 * 16 / 0.5, "b, 32 x 48 x 16")
    assert clock.calls == [SHAPE] * 3 + ["rest"] + [SHAPE] * 6 + ["rest", "rest"]


def test_a_precision_that_no_library_has():
    clock = Clock()
    with pytest.raises(NotAvailable, match="bf16 matrix products on cpu needs a library that has them, found a;"):
        product_peak("cpu", "bf16", 2, clock.budget(1), {"a": library(clock, None)})


def prepared(name, precision, threads=None, device="cpu", shape=SHAPE):
    with installed()[name]((shape,), device, precision, threads or usable_cores()) as products:
        return {key: product() for key, product in products.items()}


@pytest.mark.parametrize("name", ["numpy", "onnxruntime", "openvino"])
def test_the_products_are_right(name):
    (found,) = prepared(name, "fp32").values()
    found = found if isinstance(found, np.ndarray) else found[0]
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal(shape, np.float32) for shape in ((32, 48), (48, 16)))
    assert np.abs(found - left @ right).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "precision", "device"),
    [
        ("numpy", "bf16", "cpu"),
        ("numpy", "fp32", "cuda:0"),
        ("onnxruntime", "fp16", "cpu"),
        ("onnxruntime", "fp32", "cuda:0"),
        ("openvino", "fp32", "cuda:0"),
    ],
)
def test_what_a_library_does_not_compute_is_left_out(name, precision, device):
    assert prepared(name, precision, device=device) == {}


@pytest.mark.parametrize(("native", "here"), [(("FP32", "INT8"), 0), (("FP32", "BF16"), 1)], ids=["without", "with"])
def test_openvino_computes_in_what_the_cpu_can(monkeypatch, native, here):
    """On a CPU with bf16 and on one without, whichever this one is."""
    core = SimpleNamespace(
        get_property=lambda *_: list(native),
        compile_model=openvino_core().compile_model,
        read_model=openvino_core().read_model,
    )
    monkeypatch.setattr("resnas_deploy.runners.devices.openvino_core", lambda: core)
    assert len(prepared("openvino", "bf16")) == here


def test_numpy_is_left_out_where_it_would_use_other_threads():
    assert prepared("numpy", "fp32", threads=usable_cores() + 1) == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is here")
def test_no_gpu_here():
    assert prepared("torch", "fp16", device="cuda:0") == {}
    with pytest.raises(NotAvailable, match="needs a PyTorch that has CUDA and a GPU, found none"):
        bandwidth_peak("cuda:0", 1, Budget(0.1), 2**20)


def test_torch_keeps_its_threads():
    before = torch.get_num_threads()
    with installed()["torch"]((SHAPE,), "cpu", "fp32", before + 1) as products:
        assert torch.get_num_threads() == before + 1
        assert products.keys() == {SHAPE}
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_real_products(precision):
    found = product_peak("cpu", precision, usable_cores(), Budget(0.05), shapes=(SHAPE,))
    assert 1e6 < found.rate < 1e16
    assert re.fullmatch(r"(numpy|torch|onnxruntime|openvino), 32 x 48 x 16", found.by)


def test_real_memory():
    found = bandwidth_peak("cpu", usable_cores(), Budget(0.05), 2**24)
    assert 1e7 < found.rate < 1e14
    assert found.by in ("numpy, copy", "numpy, read")


@pytest.mark.parametrize(
    ("sizes", "size"),
    [(("48K", "2048K", "32768K"), 2**27), (("1M",), 2**22), (("266240K",), 2**30), (("32768",), 2**17), ((), 2**30)],
)
def test_a_buffer_is_larger_than_the_last_level_cache(tmp_path, sizes, size):
    assert buffer_bytes(tree(tmp_path, {f"index{number}/size": text for number, text in enumerate(sizes)})) == size


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA for PyTorch here")
def test_a_real_gpu():
    found = product_peak("cuda:0", "fp16", 1, Budget(1.0))
    assert found.by.startswith("torch, ")
    assert 1e12 < found.rate < 1e16
    assert 1e10 < bandwidth_peak("cuda:0", 1, Budget(1.0), 2**28).rate < 1e14
