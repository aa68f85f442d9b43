"""A reduction alone on a GPU that is documented and not here."""

from __future__ import annotations

import torch
from support.documented.torch_cuda import torch_with_cuda

from resnas_deploy.surveying.reductions import _step


def test_what_is_timed_is_a_captured_graph(monkeypatch):
    cuda = torch_with_cuda(monkeypatch, "NVIDIA H200").cuda
    launched = []
    once = _step(lambda: launched.append(torch.ones(2) + 1), torch.device("cuda:0"))
    before = len(launched)
    assert before > 1
    assert once() > 0
    assert len(launched) == before
    assert [graph.replays for graph in cuda.graphs] == [1]
