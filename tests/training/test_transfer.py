"""What is drawn on the host reaches the device without either waiting for the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.small_data import CLASSES, RECIPE, SIDE, run
from torch.utils._python_dispatch import TorchDispatchMode

from resnas_deploy.runners.devices import gpus
from resnas_deploy.training.sampling import mixed_of
from resnas_deploy.training.transfer import on_device

# Of a GPU, the host gets the results of these only once they are computed
# (https://docs.pytorch.org/docs/stable/generated/torch.cuda.set_sync_debug_mode.html).
WAITING = {"_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select", "unique", "_unique2"}


class Operations(TorchDispatchMode):
    """Records what is computed."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        indices = args[1] if func.overloadpacket.__name__ == "index" else ()
        if any(index is not None and index.dtype == torch.bool for index in indices):
            self.names.add("nonzero")  # by which an index of truth values is made one of numbers
        return func(*args, **(kwargs or {}))


def erased_and_mixed(tmp_path, device="cpu"):
    training = run(tmp_path, recipe=replace(RECIPE, erasing=0.5))
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, SIDE, SIDE, generator=rng).to(device)
    labels = torch.randint(0, CLASSES, (8,), generator=rng).to(device)
    return lambda: mixed_of(training, 0, range(2), images, labels)


def test_nothing_that_is_mixed_or_erased_is_waited_for(tmp_path):
    compute = erased_and_mixed(tmp_path)
    with Operations() as operations:
        compute()
    assert {"normal_", "where", "lerp"} <= operations.names
    assert not operations.names & WAITING


def test_what_waits_is_recorded():
    values = torch.arange(3)
    for wait in (lambda: values.sum().item(), lambda: values[values > 1], lambda: bool(values.any()), values.nonzero):
        with Operations() as operations:
            wait()
        assert operations.names & WAITING


def test_a_copy_to_a_gpu_is_out_of_page_locked_memory_and_not_waited_for(monkeypatch):
    """See https://docs.pytorch.org/docs/stable/notes/cuda.html#use-pinned-memory-buffers; no GPU is needed."""
    calls = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: calls.append("pin_memory") or tensor)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda tensor, *args, **options: calls.append(("to", args, options)) or tensor
    )
    device = torch.device("cuda")
    on_device(np.arange(3), device)
    assert calls == ["pin_memory", ("to", (device,), {"non_blocking": True})]


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
def test_a_gpu_is_not_waited_for(tmp_path):
    compute = erased_and_mixed(tmp_path, "cuda")
    compute()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = compute()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = erased_and_mixed(tmp_path)()
    assert torch.allclose(found.target.cpu(), expected.target, atol=1e-6)
    assert torch.allclose(found.patch_targets.cpu(), expected.patch_targets, atol=1e-6)
