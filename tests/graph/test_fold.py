"""Each folding rule is compared with the layers of PyTorch that it replaces, on random parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.graph import fold

SEEDS = st.integers(0, 2**32 - 1)
WIDTHS = st.integers(1, 12)
TOLERANCE = 1e-5  # relative to the largest value: float32 rounding of sums of up to about 100 terms


def normal(rng, *shape):
    return rng.standard_normal(shape, dtype=np.float32)


def tensor(array):
    return torch.from_numpy(np.ascontiguousarray(array)).double()


def assert_same(found, wanted):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    error = np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1)
    assert error <= TOLERANCE, f"largest difference {error:.1e}, tolerance {TOLERANCE:.0e}"


@given(SEEDS, WIDTHS, WIDTHS)
def test_batch_norm_into_conv(seed, inputs, outputs):
    rng = np.random.default_rng(seed)
    weight, scale, shift, mean = (normal(rng, outputs, inputs, 3, 3), *(normal(rng, outputs) for _ in range(3)))
    variance, x = rng.random(outputs, dtype=np.float32), normal(rng, 2, inputs, 6, 6)
    factor = fold.batch_norm_factor(scale, variance, eps=1e-2)
    conv = F.conv2d(tensor(x), tensor(weight), padding=1)
    wanted = F.batch_norm(conv, tensor(mean), tensor(variance), tensor(scale), tensor(shift), eps=1e-2)
    folded = fold.batch_norm_into_weight(weight, factor), fold.batch_norm_into_bias(factor, mean, shift)
    assert_same(F.conv2d(tensor(x), tensor(folded[0]), tensor(folded[1]), padding=1), wanted)


@given(SEEDS, st.integers(2, 12), WIDTHS)
def test_norm_into_linear(seed, inputs, outputs):
    rng = np.random.default_rng(seed)
    weight, bias, scale, shift, x = (
        normal(rng, *s) for s in ((outputs, inputs), (outputs,), (inputs,), (inputs,), (5, inputs))
    )
    wanted = F.linear(F.layer_norm(tensor(x), (inputs,), tensor(scale), tensor(shift)), tensor(weight), tensor(bias))
    folded = fold.norm_scale_into_linear(weight, scale), fold.norm_shift_into_bias(weight, bias, shift)
    assert_same(F.linear(F.layer_norm(tensor(x), (inputs,)), tensor(folded[0]), tensor(folded[1])), wanted)


@given(SEEDS, st.integers(1, 9))
def test_attention_scale_into_query(seed, head_dim):
    rng = np.random.default_rng(seed)
    q, k, v = (tensor(normal(rng, 2, 3, 5, head_dim)) for _ in range(3))
    folded = tensor(fold.attention_scale_into_query(q.float().numpy(), head_dim))
    assert_same(F.scaled_dot_product_attention(folded, k, v, scale=1.0), F.scaled_dot_product_attention(q, k, v))


@given(SEEDS, st.integers(1, 9))
def test_key_bias_changes_nothing(seed, head_dim):
    rng = np.random.default_rng(seed)
    q, k, v = (tensor(normal(rng, 2, 3, 5, head_dim)) for _ in range(3))
    bias = tensor(normal(rng, head_dim))
    assert_same(F.scaled_dot_product_attention(q, k, v), F.scaled_dot_product_attention(q, k + bias, v))


def test_without_key_bias_keeps_those_of_query_and_value():
    query, value = fold.without_key_bias(np.arange(6, dtype=np.float32))
    assert query.tolist() == [0, 1]
    assert value.tolist() == [4, 5]


@given(SEEDS, WIDTHS, st.integers(1, 9))
def test_value_bias_into_projection(seed, width, inner):
    rng = np.random.default_rng(seed)
    projection, bias, value_bias = normal(rng, width, inner), normal(rng, width), normal(rng, inner)
    attention = tensor(normal(rng, 4, 5)).softmax(-1)
    values = tensor(normal(rng, 5, inner))
    wanted = F.linear(attention @ (values + tensor(value_bias)), tensor(projection), tensor(bias))
    folded = fold.value_bias_into_projection(projection, bias, value_bias)
    assert_same(F.linear(attention @ values, tensor(projection), tensor(folded)), wanted)


@given(SEEDS, st.integers(1, 4), WIDTHS)
def test_stem_table(seed, side, width):
    rng, tokens = np.random.default_rng(seed), side**2
    position, class_token, bias = normal(rng, 1 + tokens, width), normal(rng, width), normal(rng, width)
    patches = normal(rng, tokens, width)  # the projection without its bias
    wanted = np.concatenate([class_token[None], patches + bias]) + position
    found = np.concatenate([np.zeros((1, width)), patches]) + fold.stem_table(position, class_token, bias)
    assert_same(found, wanted)


@given(SEEDS, st.integers(2, 6), WIDTHS, st.integers(1, 9))
def test_norm_into_a_padded_convolution(seed, inputs, outputs, side):
    """The norm's shift leaves through the convolution as an image that knows the zero padding at the border."""
    rng = np.random.default_rng(seed)
    weight, bias, scale, shift = (normal(rng, *s) for s in ((outputs, inputs, 3, 3), (outputs,), (inputs,), (inputs,)))
    normed = normal(rng, 2, inputs, side, side)
    affine = tensor(normed) * tensor(scale)[:, None, None] + tensor(shift)[:, None, None]
    wanted = F.conv2d(affine, tensor(weight), tensor(bias), stride=2, padding=1)
    image = fold.shift_image(weight, shift, side).T.reshape(outputs, (side + 1) // 2, (side + 1) // 2)
    folded = fold.norm_scale_into_conv(weight, scale)
    found = F.conv2d(tensor(normed), tensor(folded), tensor(bias), stride=2, padding=1) + tensor(image)
    assert_same(found, wanted)


@pytest.mark.parametrize(
    ("side", "wanted"),
    [
        (6, [[4, 6, 6], [6, 9, 9], [6, 9, 9]]),  # an even side has its padding above and on the left alone
        (5, [[4, 6, 4], [6, 9, 6], [4, 6, 4]]),
        (1, [[1]]),
    ],
)
def test_shift_image_knows_the_borders(side, wanted):
    image = fold.shift_image(np.ones((1, 1, 3, 3), np.float32), np.ones(1, np.float32), side)
    assert image.reshape(len(wanted), -1).tolist() == wanted


@given(SEEDS, WIDTHS)
def test_reduction_table(seed, width):
    rng = np.random.default_rng(seed)
    class_bias, conv_bias = normal(rng, width), normal(rng, width)
    position, image, patches, token = (normal(rng, *s) for s in ((4, width), (4, width), (4, width), (1, width)))
    wanted = np.concatenate([token + class_bias, patches + conv_bias + image + position])
    table = fold.reduction_table(class_bias, position, conv_bias, image)
    assert_same(np.concatenate([token, patches]) + table, wanted)


@pytest.mark.parametrize("rule", [fold.norm_scale_into_linear, fold.attention_scale_into_query])
def test_rules_leave_their_input_alone(rule):
    weight = np.ones((3, 3), np.float32)
    rule(weight, np.full(3, 2, np.float32) if rule is fold.norm_scale_into_linear else 4)
    assert (weight == 1).all()


@given(SEEDS, WIDTHS, st.sampled_from([4, 5, 8]), st.sampled_from([1, 2]))
def test_levels_into_conv(seed, outputs, side, stride):
    """Exact at the borders too, for whatever mean and deviation: the convolution pads the normalised image with 0."""
    rng = np.random.default_rng(seed)
    weight, mean, std = normal(rng, outputs, 3, 3, 3), rng.uniform(-1, 2, 3), rng.uniform(0.01, 3, 3)
    levels = rng.integers(0, 256, (2, 3, side, side)).astype(np.float32)
    image = (tensor(levels) / 255 - tensor(mean)[:, None, None]) / tensor(std)[:, None, None]
    wanted = F.conv2d(image, tensor(weight), padding=1, stride=stride)
    folded = fold.levels_into_conv(weight, fold.levels_factor(tuple(std)))
    centred = tensor(levels) + tensor(fold.levels_centre(tuple(mean)))[:, None, None]
    assert_same(F.conv2d(centred, tensor(folded), padding=1, stride=stride), wanted)
