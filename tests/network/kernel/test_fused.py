"""The operator and the fused modules on the CPU, and what the compiler is shown of them for a GPU."""

from __future__ import annotations

import importlib.util
import inspect
import types

import numpy as np
import pytest
import torch

from resnas_deploy.arch.elements import ReductionElement
from resnas_deploy.network import fused
from resnas_deploy.network import operator as op
from resnas_deploy.network.module import ResidualReduction, build_model

IMAGES = torch.from_numpy(np.random.default_rng(1).standard_normal((3, 3, 56, 56), dtype=np.float32))


@pytest.fixture
def fused_model(checkpoint):
    return fused.fuse_reductions(build_model(checkpoint))


@pytest.fixture
def wanted(checkpoint):
    with torch.no_grad():
        return build_model(checkpoint).double()(IMAGES.double())


def difference(found, wanted):
    """The largest, relative to the largest value."""
    return ((found.double() - wanted).abs().max() / wanted.abs().max()).item()


def inputs(side=4, width=20, out_width=36, batch=3, **options):
    """Tokens, class token, patches and table."""
    quarter = ((side + 1) // 2) ** 2
    shapes = ((batch, 1 + side**2, width), (batch, 1, out_width), (batch, quarter, out_width), (1 + quarter, out_width))
    if options:
        return tuple(torch.empty(shape, **options) for shape in shapes)
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


@pytest.mark.parametrize(("side", "width", "out_width"), [(4, 20, 36), (8, 5, 5), (7, 5, 9), (1, 4, 4)])
def test_the_reference_pools_as_the_module_does(side, width, out_width):
    x, class_token, patches, table = inputs(side, width, out_width)
    module = ResidualReduction(ReductionElement("reduction", width, out_width, side))
    padded = torch.nn.functional.pad(module.residual(x), (0, out_width - width))
    wanted = torch.cat([class_token, patches], 1) + table + padded
    y, normed = op.equation(x, class_token, patches, table, side, True)
    torch.testing.assert_close(y, wanted, rtol=0, atol=2e-6)
    torch.testing.assert_close(normed, torch.nn.LayerNorm(out_width, eps=1e-6)(wanted), rtol=0, atol=5e-6)
    assert torch.equal(op.equation(x, class_token, patches, table, side, False)[0], y)
    half = op.equation(*(part.half() for part in (x, class_token, patches, table)), side, True)
    assert [part.dtype for part in half] == [torch.float16] * 2


def test_the_operator_is_sound_on_the_cpu():
    """PyTorch's own check: schema, fake tensors, the compiler's view."""
    torch.library.opcheck(
        op.register(), (*inputs(), 4, True), test_utils=("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    )
    assert op.register() is op.register()
    found = torch.ops.resnas.pooled_residual(*inputs(), 4, False)
    assert torch.equal(found[0], op.equation(*inputs(), 4, False)[0])


@pytest.mark.parametrize("with_norm", [True, False])
def test_a_compiler_for_a_gpu_sees_the_kernel_and_what_it_writes(monkeypatch, with_norm):
    """With fake tensors, and a stand-in that only names the GPU that there is not."""
    from torch._functorch.aot_autograd import aot_export_module
    from torch._subclasses.fake_tensor import FakeTensorMode
    from triton.backends.compiler import GPUTarget
    from triton.runtime import driver

    class Reduction(torch.nn.Module):
        def forward(self, *parts):
            return op.register()(*parts, 4, with_norm)

    gpu = types.SimpleNamespace(get_current_target=lambda: GPUTarget("cuda", 90, 32))
    monkeypatch.setattr(driver, "_active", gpu)
    with FakeTensorMode(), torch.no_grad():
        graph = aot_export_module(Reduction(), inputs(device="cuda"), trace_joint=False)[0].graph
    (kernel,) = (node for node in graph.nodes if "triton_kernel_wrapper" in str(node.target))
    assert kernel.kwargs["grid"] == [(3 * 5, 1, 1)]
    assert kernel.kwargs["tensors_to_clone"] == (["y", "normed"] if with_norm else ["y"])
    assert {"SIDE": 4, "WIDTH": 20, "OUT_WIDTH": 36}.items() <= kernel.kwargs["kwargs"].items()
    (output,) = (node for node in graph.nodes if node.op == "output")
    assert [tuple(value.meta["val"].shape) for value in output.args[0]] == [(3, 5, 36)] * (1 + with_norm)


def test_fused_modules_compute_what_the_plain_ones_do(fused_model, wanted):
    kinds = [type(module) for module in fused_model.modules()]
    assert kinds.count(fused.FusedReduction) == kinds.count(fused.NormedBlock) == 2
    assert ResidualReduction not in kinds
    with torch.no_grad():
        assert difference(fused_model(IMAGES), wanted) < 5e-6
        assert difference(fused_model(IMAGES[:1]), wanted[:1]) < 5e-6
        assert difference(fused_model.bfloat16()(IMAGES.bfloat16()), wanted) < 5e-2


def test_patches_come_as_tokens_without_a_move(fused_model):
    shapes = []
    fused_model.reduction1.conv.register_forward_hook(lambda _module, _inputs, y: shapes.append(y))
    with torch.no_grad():
        fused_model(IMAGES)
    assert shapes[0].flatten(2).transpose(1, 2).is_contiguous()
    assert fused_model.half().reduction1.conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_the_checkpoint_is_as_before(checkpoint):
    before = {name: tensor.copy() for name, tensor in checkpoint.tensors.items()}
    fused.fuse_reductions(build_model(checkpoint))
    assert all(np.array_equal(tensor, before[name]) for name, tensor in checkpoint.tensors.items())


def test_export_keeps_the_operator(fused_model, wanted):
    dynamic = ({0: torch.export.Dim("batch", min=1, max=8)},)
    with torch.no_grad():
        program = torch.export.export(fused_model, (IMAGES[:2],), dynamic_shapes=dynamic)
        targets = [node.target for node in program.graph.nodes]
        assert targets.count(torch.ops.resnas.pooled_residual.default) == 2
        assert difference(program.module()(IMAGES), wanted) < 5e-6


@pytest.mark.filterwarnings("ignore")  # of torch about its own code
def test_the_compiler_takes_fused_modules_whole(fused_model, wanted):
    """Without a break in the graph; what makes code of it is left out, for the sake of time."""
    compiled = torch.compile(fused_model, fullgraph=True, dynamic=False, backend="aot_eager")
    with torch.inference_mode():
        for batch in (3, 1):
            assert difference(compiled(IMAGES[:batch]), wanted[:batch]) < 5e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch about its own code
def test_a_package_of_fused_modules_on_the_cpu(fused_model, wanted, tmp_path):
    """Where there is no GPU the compiler sees the reference, and packages that."""
    with torch.no_grad():
        program = torch.export.export(fused_model, (IMAGES,))
        package = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "fused.pt2"))
        assert difference(torch._inductor.aoti_load_package(package)(IMAGES), wanted) < 5e-6


def test_where_the_kernel_is_used(monkeypatch, tmp_path):
    gpu = torch.device("cuda:0")
    capability = [(9, 0)]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability[0])
    monkeypatch.setenv("CC", "cc")
    assert fused.fusion_problem(gpu) is None
    assert "NVIDIA" in fused.fusion_problem(torch.device("cpu"))
    capability[0] = (7, 5)
    assert "8.0" in fused.fusion_problem(gpu)
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "C compiler" in fused.fusion_problem(gpu)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "triton" else found(name))
    assert "triton is not installed" in fused.fusion_problem(gpu)


def test_the_operator_says_what_the_reference_takes():
    op.register()
    assert list(inspect.signature(op.equation).parameters) == [
        argument.name for argument in torch.ops.resnas.pooled_residual.default._schema.arguments
    ]
