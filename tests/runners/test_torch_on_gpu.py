"""PyTorch on a GPU that is documented and not here: streams, pinned memory, and a graph for each batch size."""

from __future__ import annotations

import numpy as np
import pytest
from support.documented.torch_cuda import Stream, current, torch_with_cuda

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.torch import EagerRunner

captured = pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])


@pytest.fixture
def torch(monkeypatch):
    """The module that the runner finds."""
    return torch_with_cuda(monkeypatch, "NVIDIA H100 80GB HBM3")


@captured
def test_the_logits_of_every_batch_size(torch, artifact, images, expected, near, graph):
    with EagerRunner(artifact, Options(1, device="cuda:0", cuda_graph=graph), name="torch") as runner:
        steps = {batch: runner.step(images[:batch]) for batch in (1, 3)}
        pinned = torch.pinned
        assert pinned == 4  # images and logits of two batch sizes
        for batch in (1, 3, 1):
            near(steps[batch](), expected[:batch], 1e-5)
            near(runner.run(images[8 - batch :])[OUTPUT], expected[8 - batch :], 1e-5)
            assert runner.device_step(images[:batch])() > 0
        assert torch.pinned == pinned  # buffers are made once for each
        assert len(torch.cuda.graphs) == (2 if graph else 0)
        assert all(made.replays for made in torch.cuda.graphs)
        assert runner.boundary.startswith("host to host, CUDA, pinned host memory and the copy into it")
        assert ("captured CUDA graph" in runner.boundary) == ("captured CUDA graph" in runner.device_boundary) == graph
    assert current.stream.default


def test_each_runner_has_a_stream(torch, artifact, images, expected, near):
    """Of which none begins before the weights are there; on one stream, two runners would wait for each other."""
    options = Options(1, device="cuda:0")
    with EagerRunner(artifact, options, name="torch") as one, EagerRunner(artifact, options, name="torch") as other:
        near(one.run(images[:1])[OUTPUT], expected[:1], 1e-5)
        near(other.run(images[1:2])[OUTPUT], expected[1:2], 1e-5)
        assert len(torch.cuda.streams) == 2
        assert all(stream.waited_for == [current.stream] for stream in torch.cuda.streams)


def test_logits_outlive_the_next_run(torch, artifact, images):
    with EagerRunner(artifact, Options(1, device="cuda:0"), name="torch") as runner:
        first = runner.run(images[:1])[OUTPUT]
        kept = first.copy()
        runner.run(images[1:2])
        assert np.array_equal(first, kept)


def test_settings_are_as_before_though_the_gpu_is_lost(torch, artifact, images, monkeypatch):
    def lost(_stream):
        raise RuntimeError("CUDA error: unspecified launch failure")

    threads = torch.get_num_threads()
    runner = EagerRunner(artifact, Options(threads + 1, device="cuda:0"), name="torch")
    runner.run(images[:1])
    monkeypatch.setattr(Stream, "synchronize", lost)
    with pytest.raises(RuntimeError, match="launch failure"):
        runner.close()
    assert torch.get_num_threads() == threads
