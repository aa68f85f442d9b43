"""Aligned networks compute the same: each rule, and whole networks, in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from support.networks import arch_specs
from support.small_export import SMALL

from resnas_deploy.arch.alignment import ALIGNMENTS
from resnas_deploy.arch.elements import NORM_EPS, ReductionElement
from resnas_deploy.arch.spec import Block
from resnas_deploy.graph import fold
from resnas_deploy.network.module import ResidualReduction, ViTResNAS
from resnas_deploy.weights import padding as rules
from resnas_deploy.weights.checkpoint import untrained

SEEDS = st.integers(0, 2**32 - 1)
MULTIPLES = st.sampled_from(ALIGNMENTS[1:])
WIDTHS = st.integers(1, 12)
EXACT = 1e-10  # relative, in float64: far below what float32 could give


def normal(rng, *shape):
    return rng.standard_normal(shape)


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def assert_same(found, wanted, tolerance=EXACT):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    error = np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1)
    assert error <= tolerance, f"largest difference {error:.1e}, tolerance {tolerance:.0e}"


@given(SEEDS, WIDTHS, WIDTHS, st.integers(0, 9))
def test_a_writer_with_rows_of_means_writes_the_mean(seed, inputs, width, more):
    rng = np.random.default_rng(seed)
    weight, x = normal(rng, width, inputs), normal(rng, inputs, 5)
    found = rules.mean_padded(weight, width + more, 0) @ x
    assert_same(found, rules.mean_padded(weight @ x, width + more, 0))


@given(SEEDS, st.integers(2, 12), st.integers(0, 9), WIDTHS, st.sampled_from([1.0, NORM_EPS**0.5]))
def test_a_norm_over_the_padded_stream(seed, width, more, outputs, size):
    """Also where the variance is as small as the epsilon, which then counts."""
    rng = np.random.default_rng(seed)
    x, scale, shift, weight = (normal(rng, *s) for s in ((5, width), (width,), (width,), (outputs, width)))
    x, padded = x * size + normal(rng, 5, 1), width + more
    wanted = F.linear(F.layer_norm(tensor(x), (width,), tensor(scale), tensor(shift), NORM_EPS), tensor(weight))
    wider = (
        tensor(rules.mean_padded(x, padded, 1)),
        (padded,),
        tensor(rules.padded_norm_scale(scale, padded)),
        tensor(rules.zero_padded(shift, (padded,))),
        NORM_EPS * (width / padded),
    )
    found = F.linear(F.layer_norm(*wider), tensor(rules.zero_padded(weight, (outputs, padded))))
    assert_same(found, wanted, 1e-8)  # x may be a thousand times smaller than its mean


@given(SEEDS, *[st.integers(0, 6)] * 3, WIDTHS)
def test_a_reductions_residual(seed, wider, padding, more, width):
    """Zero padding and the weighted mean are the true residual with its own mean in the padding."""
    rng = np.random.default_rng(seed)
    out = width + wider
    true = ReductionElement("reduction1", width, out, 4)
    padded = ReductionElement("reduction1", width + padding, max(out + more, width + padding), 4)
    x = normal(rng, 5, width)
    wanted = rules.mean_padded(rules.zero_padded(x, (5, out)), padded.out_width, 1)
    stream = rules.mean_padded(x, padded.width, 1)
    found = rules.zero_padded(stream, (5, padded.out_width))
    found += stream.mean(1, keepdims=True) * rules.mean_weight(true, padded)
    assert_same(found, wanted)


@given(SEEDS, st.integers(1, 4), st.integers(1, 9), st.integers(0, 3), st.integers(0, 9), st.integers(1, 6))
def test_attention_with_longer_heads_and_more_of_them(seed, heads, head_dim, more_heads, longer, width):
    rng = np.random.default_rng(seed)
    block, padded = Block(heads, head_dim, 1), Block(heads + more_heads, head_dim + longer, 1)
    qkv, bias, projection, x = (
        normal(rng, *s) for s in ((3 * block.inner, width), (3 * block.inner,), (width, block.inner), (2, 5, width))
    )

    def attention(shape, qkv, bias, projection):
        made = F.linear(tensor(x), tensor(qkv), tensor(bias)).reshape(2, 5, 3, shape.heads, shape.head_dim)
        attended = F.scaled_dot_product_attention(*made.permute(2, 0, 3, 1, 4))
        return F.linear(attended.transpose(1, 2).reshape(2, 5, -1), tensor(projection))

    found = attention(
        padded,
        rules.padded_qkv(qkv, (3 * padded.inner, width), block, padded),
        rules.padded_qkv(bias, (3 * padded.inner,), block, padded),
        rules.padded_projection(projection, (width, padded.inner), block, padded),
    )
    assert_same(found, attention(block, qkv, bias, projection))


def in_float64(checkpoint):
    return {name: values.astype(np.float64) for name, values in checkpoint.tensors.items()}


def module(arch, tensors):
    with torch.device("meta"):
        made = ViTResNAS(arch)
    state = {name: tensor(values) for name, values in tensors.items()}
    missing, foreign = made.load_state_dict(state, strict=False, assign=True)
    assert not foreign
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return made.eval()


def aligned_module(aligned):
    """The wider network as the module computes it, with its epsilons and its reductions' weighted means."""
    made = module(aligned.arch, aligned.tensors)
    for name, part in made.named_modules():
        if isinstance(part, torch.nn.LayerNorm):
            element = next(known for known in aligned.epsilons if name.startswith(f"{known}."))
            part.eps = aligned.epsilons[element]
        if isinstance(part, ResidualReduction) and aligned.mean_weights:
            weight = tensor(aligned.mean_weights[name])
            part.register_forward_hook(
                lambda part, inputs, output, weight=weight: (
                    output + part.residual(inputs[0]).mean(-1, keepdim=True) * weight
                )
            )
    return made


@settings(max_examples=20)
@given(arch_specs(), MULTIPLES, SEEDS)
def test_the_wider_network_has_the_same_logits_in_float64(arch, multiple, seed):
    tensors = in_float64(untrained(arch, seed))
    images = tensor(normal(np.random.default_rng(seed), 2, 3, arch.image_size, arch.image_size))
    aligned = rules.align(arch, tensors, multiple)
    with torch.inference_mode():
        wanted = module(arch, tensors)(images)
        found = aligned_module(aligned)(images)
    assert_same(found, wanted, 1e-8)  # a norm over few channels may magnify rounding a thousand times


def test_without_the_weighted_mean_a_reduction_is_wrong():
    """What the mean weight is for: centring alone, or zeros alone, would lose the mean of the stage before."""
    tensors = in_float64(untrained(SMALL))
    images = tensor(normal(np.random.default_rng(0), 2, 3, 112, 112))
    aligned = rules.align(SMALL, tensors, 16)
    with torch.inference_mode():
        wanted = module(SMALL, tensors)(images)
        found = aligned_module(rules.Aligned(aligned.arch, aligned.tensors, aligned.epsilons, {}))(images)
    assert (found - wanted).abs().max() > 1e-3 * wanted.abs().max()


def test_aligning_leaves_the_weights_alone():
    checkpoint = untrained(SMALL)
    before = copy.deepcopy(dict(checkpoint.tensors))
    rules.align(SMALL, checkpoint.tensors, 64)
    assert all((before[name] == values).all() for name, values in checkpoint.tensors.items())


def test_variances_of_padded_channels_divide_nothing_by_zero():
    aligned = rules.align(SMALL, untrained(SMALL).tensors, 64).tensors
    for number in (1, 2, 3):
        scale, variance = (aligned[f"stem.bn{number}.{part}"] for part in ("weight", "running_var"))
        with np.errstate(all="raise"):
            factor = fold.batch_norm_factor(scale, variance, 1e-5)
        assert (factor[SMALL.stem_mid_width :] == 0).all()
        assert math.prod(factor[: SMALL.stem_mid_width].shape) == SMALL.stem_mid_width
