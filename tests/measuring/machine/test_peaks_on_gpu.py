"""A GPU's ceilings: buffers by its own cache, times by its own clock, and fp32 that is not TF32. No GPU is needed."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from support.documented.driver import H200, L4, Gpu, machine_of
from support.documented.torch_cuda import Event

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.machine import roofline
from resnas_deploy.measuring.machine.peaks import (
    Budget,
    PeakRate,
    bandwidth_peak,
    best,
    gpu_buffer_bytes,
    product_peak,
)
from resnas_deploy.measuring.machine.products import OnGpu, torch_products
from resnas_deploy.processes.settings import ProcessSetting
from resnas_deploy.runners import torch_settings
from resnas_deploy.runners.devices import gpus

GPU = "cuda:0"
LARGE = Gpu("A GPU with a large cache", "100", 512 << 20)


@pytest.fixture
def cuda(monkeypatch, tmp_path):
    """PyTorch with a GPU whose memory is the host's, with so many bytes free."""
    machine_of(monkeypatch, tmp_path, L4)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, **_: ones(*shape))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1 << 30, 1 << 31))
    monkeypatch.setattr(torch.cuda, "device", lambda _device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _number: None)
    monkeypatch.setattr(torch.cuda, "Event", Event)


@pytest.mark.parametrize(("gpu", "size"), [(H200, 2**30), (L4, 2**30), (LARGE, 2**31), (Gpu("old", "60"), 2**30)])
def test_a_buffer_is_larger_than_the_gpus_own_cache(monkeypatch, tmp_path, gpu, size):
    machine_of(monkeypatch, tmp_path, gpu)
    assert gpu_buffer_bytes(GPU) == size


def test_a_ceiling_of_a_gpu_is_of_its_cache_and_not_of_the_processors(monkeypatch, tmp_path):
    machine_of(monkeypatch, tmp_path, LARGE)
    asked = []
    monkeypatch.setattr(roofline, "product_peak", lambda *_: PeakRate(1.0, "a"))
    monkeypatch.setattr(roofline, "bandwidth_peak", lambda *found: asked.append(found[-1]) or PeakRate(1.0, "b"))
    monkeypatch.setattr(roofline, "buffer_bytes", lambda: 1)
    roofline.measure_ceiling(roofline.Machine("A CPU", 2, "Linux x86_64", "3.11.2"), GPU, "fp32", 1)
    assert asked == [2**31]


def test_the_seconds_are_the_gpus_own():
    """The host waits three times as long: what it waits for is the budget, and no part of the rate."""
    now = [0.0]

    class Timed(OnGpu):
        def __call__(self):
            now[0] += 3.0
            return 1.0

    assert best({"a": (Timed(GPU, lambda: None), 100.0)}, Budget(6, lambda: now[0])) == PeakRate(100.0, "a")
    assert now[0] == 6


def test_a_step_that_is_below_the_gpus_clock_is_run_again():
    seconds = [0.0, 0.0, 0.5]

    class Timed(OnGpu):
        def __call__(self):
            return seconds.pop(0)

    assert best({"a": (Timed(GPU, lambda: None), 1.0)}, Budget(0)) == PeakRate(2.0, "a")


@pytest.mark.usefixtures("cuda")
def test_memory_is_timed_by_events(monkeypatch):
    monkeypatch.setattr(Event, "elapsed_time", lambda _before, after: 2.0 if after._waited else 0.0)  # milliseconds
    found = bandwidth_peak(GPU, 1, Budget(0.01), 1 << 20)
    assert found == PeakRate(2 * 2**20 / 2e-3, "torch, copy")


@pytest.mark.usefixtures("cuda")
def test_memory_that_is_not_free():
    with pytest.raises(NotAvailable, match=r"must have 2.0 GiB of it free, found 1.0 GiB on cuda:0 NVIDIA L4; end"):
        bandwidth_peak(GPU, 1, Budget(0.01), 1 << 30)


@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_products_are_timed_by_events_and_are_no_tf32(monkeypatch, precision):
    """`meta` stands for the GPU: its tensors have shapes and types."""
    monkeypatch.setattr(Event, "elapsed_time", lambda _before, after: 4.0 if after._waited else 0.0)
    monkeypatch.setattr(torch_settings, "_DEVICE", ProcessSetting(lambda: 0, lambda _number: None))
    matmul, seen = torch.backends.cuda.matmul, []
    multiply = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *given, out: seen.append(matmul.allow_tf32) or multiply(*given, out=out))
    before = matmul.allow_tf32
    matmul.allow_tf32 = True  # as a user may have set it
    try:
        found = product_peak("meta", precision, 1, Budget(0.01), {"torch": torch_products}, ((32, 48, 16),))
        assert matmul.allow_tf32
    finally:
        matmul.allow_tf32 = before
    assert found == PeakRate(2 * 32 * 48 * 16 / 4e-3, "torch, 32 x 48 x 16")
    assert set(seen) == {False}


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
def test_a_real_gpus_memory():
    found = bandwidth_peak(GPU, 1, Budget(1.0), gpu_buffer_bytes(GPU))
    assert 5e10 < found.rate < 2e13
