"""The reference workload: the same work under the same name, and nothing left behind."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from resnas_deploy.measuring import reference
from resnas_deploy.measuring.reference import CpuWorkload, reference_workload


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("reference")]


@pytest.fixture(scope="module")
def workload():
    with reference_workload("cpu", 2) as found:
        found.step()
        yield found


def test_the_same_name_is_the_same_work(workload):
    with CpuWorkload(2) as again:
        assert again.name == workload.name
        for one, other in zip(workload._shares, again._shares, strict=True):
            for name in ("weights", "tokens", "left", "right"):
                assert np.array_equal(getattr(one, name), getattr(other, name))
    with CpuWorkload(1) as other:
        assert other.name != workload.name


def test_each_core_has_the_same_share_of_its_own(workload):
    first, second = workload._shares
    assert np.array_equal(first.left, second.left)
    assert not np.shares_memory(first.product, second.product)
    assert not np.shares_memory(first.weights, second.weights)


def test_a_step_does_the_work(workload):
    for share in workload._shares:
        for result in (share.product, share.few):
            result[:] = -1
    workload.step()
    for share in workload._shares:
        assert np.allclose(share.product[0], share.left[0] @ share.right[0], atol=1e-4)
        assert np.allclose(share.few[-1], share.tokens @ share.weights[-1], atol=1e-4)


def test_not_every_core_of_a_large_machine_takes_part(small_reference):
    with CpuWorkload(64) as found:
        assert len(found._shares) == 8
        assert "8 cores" in found.name


def test_what_a_thread_raises_is_raised(monkeypatch):
    with CpuWorkload(1) as found:
        monkeypatch.setattr(reference._Share, "work", lambda share: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            found.step()


def test_threads_end():
    before = len(threads())
    with CpuWorkload(2) as found:
        found.step()
        assert len(threads()) > before
    assert len(threads()) == before


def test_nothing_spins_after_a_step(workload):
    """What went on using a core would be at the expense of what is timed next."""
    before = time.process_time()
    workload.step()
    worked = time.process_time() - before
    before = time.process_time()
    time.sleep(0.2)
    idle = time.process_time() - before
    assert idle < max(0.1 * worked, 0.02)


def test_without_cuda_it_is_the_processors(monkeypatch):
    """Its name says so: a baseline with the GPU's workload is not compared with it."""
    monkeypatch.setattr(reference, "_torch_has_cuda", lambda: False)
    with reference_workload("cuda:0", 1) as found:
        assert found.name == CpuWorkload(1).name


def test_torch_may_be_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not reference._torch_has_cuda()


@pytest.mark.gpu
@pytest.mark.skipif(not reference._torch_has_cuda(), reason="no CUDA for PyTorch here")
def test_the_gpus():
    with reference_workload("cuda:0", 1) as found:
        found.step()
        assert found.name == "PyTorch products of 2048 1, cuda"
