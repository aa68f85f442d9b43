"""What needs an NVIDIA GPU: the compiled kernel beside the reference, and the fused network beside the plain one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnas_deploy.batch import BatchRange
from resnas_deploy.network import fused
from resnas_deploy.network import operator as op
from resnas_deploy.network.module import build_model
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import gpus
from resnas_deploy.runners.registry import RUNNERS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")]
WITHIN = {torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def usable():
    if not torch.cuda.is_available() or (problem := fused.fusion_problem(torch.device("cuda"))):
        pytest.skip(problem if torch.cuda.is_available() else "this PyTorch cannot use the GPU")


@pytest.mark.parametrize("dtype", list(WITHIN))
@pytest.mark.parametrize(
    ("side", "width", "out_width"),
    [(16, 220, 440), (8, 440, 880), (8, 5, 7), (4, 20, 1500), (49, 220, 440), (7, 440, 880)],
)
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_kernel_is_the_reference(side, width, out_width, batch, dtype):
    quarter = ((side + 1) // 2) ** 2
    shapes = ((batch, 1 + side**2, width), (batch, 1, out_width), (batch, quarter, out_width), (1 + quarter, out_width))
    parts = [torch.randn(shape, device="cuda").to(dtype) for shape in shapes]
    found = op.register()(*parts, side, True)
    wanted = op.equation(*(part.double().float() for part in parts), side, True)
    for output, exact in zip(found, wanted, strict=True):
        assert output.dtype == dtype
        assert (output.float() - exact).abs().max() <= WITHIN[dtype] * exact.abs().max()
    (alone,) = op.register()(*parts, side, False)
    assert torch.equal(alone, found[0])


def test_a_fused_network_is_the_plain_one(checkpoint):
    images = torch.randn(3, 3, 56, 56)
    with torch.no_grad():
        wanted = build_model(checkpoint)(images)
        torch.backends.cudnn.allow_tf32 = False
        found = fused.fuse_reductions(build_model(checkpoint)).cuda()(images.cuda()).cpu()
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


class Little:
    """A network of weights alone: what these runners need."""

    source = label = digest = "little"
    precision, batch = "fp32", BatchRange.parse("1:4")

    def __init__(self, checkpoint):
        self.checkpoint, self.arch, self.image_size = checkpoint, checkpoint.arch, checkpoint.arch.image_size
        self.input, self.for_runner = "float32", ""

    def module(self):
        return build_model(self.checkpoint)


@pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])
@pytest.mark.parametrize("name", ["torch", "torch-compile", "aoti"])
def test_runners_use_the_kernel_and_say_so(checkpoint, name, graph):
    network = Little(checkpoint)
    images = np.random.default_rng(0).standard_normal((4, 3, 56, 56), dtype=np.float32)
    with RUNNERS["torch"].open(network, Options(2)) as plain:
        wanted = plain.run(images)["logits"]
        assert "fused" not in plain.boundary
    with RUNNERS[name].open(network, Options(2, device="cuda:0", cuda_graph=graph)) as runner:
        assert "fused kernel" in runner.boundary
        assert "fused kernel" in runner.device_boundary
        for batch in (1, 4):
            found = runner.run(images[:batch])["logits"]
            assert np.abs(found - wanted[:batch]).max() <= 1e-5 * np.abs(wanted).max()
