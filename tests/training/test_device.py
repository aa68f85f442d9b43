"""What training asks of a GPU, by its calls: here is none."""

from __future__ import annotations

import pytest
import torch

from resnas_deploy.training.device import laid_out, training_on
from resnas_deploy.training.transfer import Later, moved

CUDA = torch.device("cuda")


def flags():
    """What the process has: cuDNN's timing, and TF32 in convolutions and in products."""
    return torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("tf32", [False, True])
def test_a_gpu_is_set_while_training_and_as_it_was_afterwards(tf32):
    before = flags()
    with training_on(CUDA, tf32=tf32):
        assert flags() == (True, tf32, tf32)
    assert flags() == before
    with training_on(torch.device("cpu"), tf32=True):
        assert flags() == before


class Recorded:
    """A tensor that notes what is asked of it; its copy on the host is 2.5 once the copy's event has passed."""

    def __init__(self, device, calls):
        self.device, self.calls, self.pinned = torch.device(device), calls, False

    def is_pinned(self):
        return self.pinned

    def pin_memory(self):
        self.calls.append("pinned")
        self.pinned = True
        return self

    def to(self, device, non_blocking=False):
        self.calls.append((str(device), non_blocking))
        return self

    def contiguous(self, memory_format):
        self.calls.append(memory_format)
        return self

    def __float__(self):
        self.calls.append("read")
        return 2.5


def test_copies_to_a_gpu_are_from_pinned_memory_and_do_not_block():
    calls = []
    moved(moved(Recorded("cpu", calls), CUDA), CUDA)
    assert calls == ["pinned", ("cuda", True), ("cuda", True)]
    tensor = torch.arange(3)
    assert moved(tensor, torch.device("cpu")) is tensor


def test_a_gpus_stem_reads_channels_last():
    calls = []
    laid_out(Recorded("cuda", calls))
    assert calls == [torch.channels_last]
    images = torch.zeros(1, 3, 2, 2)
    assert laid_out(images) is images


def test_a_number_is_read_when_its_own_copy_is_there(monkeypatch):
    calls = []

    class Event:
        def record(self):
            calls.append("recorded")

        def synchronize(self):
            calls.append("waited")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    later = Later(Recorded("cuda", calls))
    calls.append("next step")
    assert later.read() == 2.5
    assert calls == [("cpu", True), "recorded", "next step", "waited", "read"]
    assert Later(torch.tensor(1.5)).read() == 1.5
