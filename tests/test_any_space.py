"""What must hold in any search space: with any stages, droppable blocks, heads of several sizes and stems of any width.

A subnet computed under masks, with slices, sliced out, and exported is one and the same network.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime as ort
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.checks import assert_close
from support.small_spaces import spaces
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.mixer import GLOBAL
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.batch import BatchRange
from resnas_deploy.files import records
from resnas_deploy.graph.emit import emit
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.network.module import build_model
from resnas_deploy.precision import precision_named
from resnas_deploy.searching.candidate import canonical, subnet_from_line, subnet_line
from resnas_deploy.searching.costs import CostLimit, CostLimits, macs_cost
from resnas_deploy.searching.first_subnets import FirstSubnets
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sampling import draw_groups
from resnas_deploy.weights.checkpoint import Checkpoint, untrained
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.vit_search.network_def import format_network_def, parse_network_def

EXACT = 1e-9  # of the largest number, in float64: norms of one or two channels multiply errors by 1000
EXPORTED = 1e-5  # of the largest logit, in float32
GROUP = 2  # images of a subnet

seeds = st.integers(0, 2**32 - 1)


def supernet(space: SearchSpace) -> Checkpoint:
    """A supernet in which no bias or shift is 0, and no scale 1."""
    random, made = np.random.default_rng(0), untrained(space.widest().full)
    moved = {
        name: tensor
        if name.endswith("running_var")
        else (tensor + 0.3 * random.standard_normal(tensor.shape)).astype(np.float32)
        for name, tensor in made.tensors.items()
    }
    return replace(made, tensors=moved)


def images(space: SearchSpace, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, space.image_size, space.image_size, generator=generator, dtype=torch.float64)


def trained_network(space: SearchSpace, masked: bool) -> TrainedNetwork:
    made = TrainedNetwork(space.widest().full, masked=masked, space=space)
    made.load(supernet(space))
    return made.double()


def assert_alike(found: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    scale = max(1.0, float(wanted.detach().abs().max()))
    assert_close(found.detach() / scale, wanted.detach() / scale, EXACT, what)


@settings(max_examples=60)
@given(spaces(), seeds, st.floats(0, 1))
def test_what_is_drawn_mutated_and_crossed_stays_inside(space, seed, probability):
    rng = np.random.default_rng(seed)
    one, other = space.sample(rng), space.sample(rng)
    drawn = [
        one,
        space.widest(),
        space.narrowest(),
        space.mutate(one, probability, rng),
        space.crossover(one, other, rng),
        space.blend(one, other, probability, rng),
        *draw_groups(space, 5, rng, probability),
    ]
    for subnet in drawn:
        assert space.contains(subnet)
        assert space.holds(subnet.arch)
        assert space.contains(canonical(subnet, space.widest()))
        assert canonical(subnet, space.widest()).arch == subnet.arch
        assert subnet_from_line(subnet_line(subnet)) == subnet
        if all(block.mixer == GLOBAL for stage in subnet.full.stages for block in stage.blocks):
            text = format_network_def(subnet)
            read = parse_network_def(text, image_size=space.image_size, patch_size=space.patch_size)
            assert read == subnet
    assert records.from_json(SearchSpace, records.to_json(space), "space") == space


@settings(max_examples=12)
@given(spaces(), seeds)
def test_masks_slices_and_the_sliced_network_say_the_same(space, seed):
    rng, weights = np.random.default_rng(seed), supernet(space)
    subnets = tuple(space.sample(rng) for _ in range(3))
    pixels = images(space, GROUP * len(subnets))
    with torch.inference_mode():
        masked = trained_network(space, masked=True).eval()(pixels, subnets)
        sliced = trained_network(space, masked=False).eval()(pixels, subnets)
        assert_alike(masked.image, sliced.image, "masked and sliced logits")
        assert_alike(masked.patches, sliced.patches, "masked and sliced logits of patches")
        for number, subnet in enumerate(subnets):
            own = slice(number * GROUP, (number + 1) * GROUP)
            alone = build_model(slice_subnet(weights, subnet)).double()(pixels[own])
            assert_alike(sliced.image[own], alone, f"logits of subnet {number}")


@settings(max_examples=12)
@given(spaces(), seeds)
def test_a_training_step_has_the_same_gradients_both_ways(space, seed):
    subnets = draw_groups(space, 3, np.random.default_rng(seed))
    pixels, found = images(space, GROUP * len(subnets)), []
    for masked in (True, False):
        made = trained_network(space, masked).train()
        logits = made(pixels, subnets)
        generator = torch.Generator().manual_seed(1)
        loss = sum(
            (said * torch.randn(said.shape, generator=generator, dtype=said.dtype)).mean()
            for said in (logits.image, logits.patches)
        )
        loss.backward()
        found.append(made)
    masked, sliced = found
    for (name, one), other in zip(masked.named_parameters(), sliced.parameters(), strict=True):
        assert_alike(one.grad, torch.zeros_like(one) if other.grad is None else other.grad, f"gradient of {name}")
    for (name, one), other in zip(masked.named_buffers(), sliced.buffers(), strict=True):
        assert_alike(one, other, name)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(space=spaces(), seed=seeds)
def test_the_exported_graph_says_the_same(tmp_path, space, seed):
    subnet = space.sample(np.random.default_rng(seed))
    checkpoint, pixels = slice_subnet(supernet(space), subnet), images(space, 3)
    with torch.inference_mode():
        wanted = build_model(checkpoint).double()(pixels)
        rounded = build_model(checkpoint)(pixels.float())
    scale = float(wanted.abs().max())
    assume(float((rounded - wanted).abs().max()) <= 0.2 * EXPORTED * scale)  # a norm of few channels amplifies rounding
    for alignment in (1, 8):
        graph = emit(checkpoint, precision_named("fp32"), BatchRange(1, 4), alignment=alignment)
        graph.write(tmp_path / "model.onnx")
        session = ort.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"images": pixels.numpy().astype(np.float32)})
        assert_close(found / scale, wanted.numpy() / scale, EXPORTED, f"logits aligned to {alignment}")
        if alignment == 1:  # weights of products are stored as they are, all of them
            products = sum(t.size for name, t in checkpoint.tensors.items() if name.endswith("weight") and t.ndim > 1)
            stored = sum(
                int(np.prod(w.shape))
                for w in graph.weights
                if len(w.shape) > 1 and not w.name.endswith(("table", ".copies"))  # which are added
            )
            assert stored == products


@settings(max_examples=20)
@given(spaces(), seeds)
def test_macs_and_parameters_are_those_of_the_module(space, seed):
    arch = space.sample(np.random.default_rng(seed)).arch
    assert (macs(arch), parameters(arch)) == counted(arch)


def counted(arch: ArchSpec) -> tuple[int, int]:
    """MACs and parameters of the module as it runs on one image."""
    model = build_model(untrained(arch))
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, arch.image_size, arch.image_size))
    return counter.get_total_flops() // 2, sum(parameter.numel() for parameter in model.parameters())


@settings(max_examples=60)
@given(spaces(), seeds, st.data())
def test_no_term_of_the_latency_model_falls_with_more_work(space, seed, data):
    terms, subnet = Terms.of_space(space), space.sample(np.random.default_rng(seed))
    larger = grown(subnet, data)
    before, after = terms.of([subnet.arch, larger.arch])
    assert (before >= 0).all()
    assert (after >= before).all()
    assert after.sum() > before.sum()
    assert len(before) == len(terms.names)
    if terms.stems:
        wider = replace(subnet.arch, stem_mid_width=subnet.arch.stem_mid_width + 1)
        (high,) = terms.of([wider])
        grew = {name for name, old, new in zip(terms.names, before, high, strict=True) if new > old}
        assert grew == {"stem", "stem's convolutions"}


def grown(subnet: Subnet, data: st.DataObject) -> Subnet:
    """The subnet with one dimension of a kept block larger."""
    full = subnet.full
    stage = data.draw(st.integers(0, len(full.stages) - 1))
    block = data.draw(st.sampled_from([index for index, keep in enumerate(subnet.kept[stage]) if keep]))
    field = data.draw(st.sampled_from(("heads", "head_dim", "hidden")))
    blocks = list(full.stages[stage].blocks)
    blocks[block] = replace(blocks[block], **{field: getattr(blocks[block], field) + 1})
    stages = list(full.stages)
    stages[stage] = replace(stages[stage], blocks=tuple(blocks))
    return replace(subnet, full=replace(full, stages=tuple(stages)))


@settings(max_examples=25)
@given(spaces(), seeds, st.floats(0.2, 0.9))
def test_the_first_subnets_are_inside_the_space_and_the_limit(space, seed, share):
    cost = macs_cost()
    low, high = cost.of([space.narrowest().arch, space.widest().arch])
    limits = CostLimits((CostLimit(cost, low + share * (high - low)),)).within(space)
    found = FirstSubnets(space, limits, np.random.default_rng(seed)).draw(8)
    assert all(space.contains(subnet) for subnet in found)
    assert all(cost.of([subnet.arch])[0] <= low + share * (high - low) for subnet in found)
