"""The PyTorch module computes what the reference computed, block by block."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.checks import assert_close
from support.networks import PLAIN, SMALL, arch_specs, golden_arrays, mini

from resnas_deploy.arch.elements import elements
from resnas_deploy.arch.mixer import Mixer
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.network.module import Attention, Mlp, ViTResNAS, build_model, intermediates
from resnas_deploy.weights.checkpoint import load, save, untrained
from resnas_deploy.weights.schema import patch_head_shapes, tensor_shapes

TOLERANCE = 1e-5
BLOCKS = ["stage1.block1", "stage1.block2", "reduction1", "stage2.block1", "reduction2", "stage3.block1"]


@pytest.fixture(scope="module", autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return golden_arrays("vit_search_mini.npz")


def _images(arch: ArchSpec, count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, arch.image_size, arch.image_size, generator=torch.Generator().manual_seed(seed))


def test_logits_and_every_activation_are_the_references(golden: dict[str, np.ndarray]) -> None:
    model, images = build_model(mini()), torch.from_numpy(golden["images"])
    outputs = intermediates(model, images)
    found = {f"act/blocks.{index}": outputs[name] for index, name in enumerate(BLOCKS)}
    found |= {"act/patch_embed": model.stem.patches(model.stem.features(images)), "logits": model(images)}
    assert set(found) == set(golden) - {"images"}
    for name, output in found.items():
        assert output.shape == golden[name].shape
        assert_close(output, golden[name], TOLERANCE, name)


def test_intermediates_are_the_elements_in_order(golden: dict[str, np.ndarray]) -> None:
    model, images = build_model(mini()), torch.from_numpy(golden["images"])
    outputs = intermediates(model, images)
    assert list(outputs) == [element.name for element in elements(mini().arch)] == ["stem", *BLOCKS, "head"]
    assert torch.equal(outputs["head"], model(images))


def test_intermediates_leave_no_hooks() -> None:
    model = build_model(untrained(SMALL))
    intermediates(model, _images(SMALL, 1))
    with pytest.raises(RuntimeError):
        intermediates(model, _images(SMALL.with_image_size(64), 1))
    assert not any(module._forward_hooks for module in model.modules())


@given(arch_specs())
@settings(max_examples=30)
def test_the_state_has_the_names_and_shapes_of_the_schema(arch: ArchSpec) -> None:
    with torch.device("meta"):
        model = ViTResNAS(arch)
    state = {n: tuple(t.shape) for n, t in model.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert state == tensor_shapes(arch)
    assert list(state)[-2:] == ["head.linear.weight", "head.linear.bias"]


@pytest.mark.parametrize("arch", [SMALL, PLAIN], ids=["convolutional", "plain"])
def test_the_model_shares_memory_with_the_checkpoint(arch: ArchSpec) -> None:
    weights = untrained(arch)
    state = build_model(weights).state_dict()
    for name, tensor in weights.tensors.items():
        assert np.shares_memory(state[name].numpy(), tensor), name


def test_a_saved_checkpoint_gives_the_same_logits(tmp_path) -> None:
    weights, images = untrained(SMALL), _images(SMALL, 2)
    save(weights, tmp_path / "a")
    assert torch.equal(build_model(load(tmp_path / "a"))(images), build_model(weights)(images))


def test_the_patch_head_is_left_out() -> None:
    weights, images = untrained(SMALL), _images(SMALL, 1)
    heads = {name: np.ones(shape, np.float32) for name, shape in patch_head_shapes(SMALL).items()}
    model = build_model(type(weights)(SMALL, {**weights.tensors, **heads}, weights.provenance))
    assert not any(name.startswith("patch_head") for name in model.state_dict())
    assert torch.equal(model(images), build_model(weights)(images))


def test_the_model_is_in_evaluation_mode() -> None:
    model, images = build_model(untrained(SMALL)), _images(SMALL, 2)
    assert not any(module.training for module in model.modules())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("arch", [SMALL, PLAIN, mini().arch], ids=["convolutional", "plain", "golden"])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_an_image_does_not_depend_on_its_batch(arch: ArchSpec, batch: int) -> None:
    model, images = build_model(untrained(arch)), _images(arch, batch)
    together = model(images)
    assert together.shape == (batch, arch.classes)
    assert_close(together, torch.cat([model(image[None]) for image in images]), TOLERANCE, f"batch of {batch}")


def test_images_and_weights_matter() -> None:
    model = build_model(untrained(SMALL))
    one, other = model(_images(SMALL, 2))
    assert not torch.allclose(one, other, atol=1e-3)
    assert not torch.allclose(build_model(untrained(SMALL, 1))(_images(SMALL, 2)), torch.stack([one, other]), atol=1e-3)


def test_a_plain_stem_is_one_linear_on_each_patch() -> None:
    weights, images = untrained(PLAIN), _images(PLAIN, 2)
    model, patch, side = build_model(weights), PLAIN.patch_size, PLAIN.side(0)
    pixels = images.numpy().reshape(2, 3, side, patch, side, patch).transpose(0, 2, 4, 1, 3, 5)
    kernel, bias = (weights.tensors[f"stem.projection.{name}"] for name in ("weight", "bias"))
    patches = pixels.reshape(2, side**2, -1) @ kernel.reshape(len(kernel), -1).T + bias
    tokens = np.concatenate([np.broadcast_to(weights.tensors["stem.class_token"], (2, 1, 6)), patches], axis=1)
    stem = intermediates(model, images)["stem"]
    assert_close(stem, tokens + weights.tensors["stem.position"], TOLERANCE, "plain stem")


def test_the_mlp_has_the_exact_gelu() -> None:
    x = torch.linspace(-6, 6, 101)
    mlp = Mlp(101, 101)
    for linear in (mlp.fc1, mlp.fc2):
        linear.weight.copy_(torch.eye(101))
        linear.bias.zero_()
    expected = [value * 0.5 * (1 + math.erf(value / math.sqrt(2))) for value in x.tolist()]
    assert_close(mlp(x), expected, 1e-6, "GELU")


def test_attention_is_softmax_of_scaled_products() -> None:
    heads, head_dim, tokens, width = 3, 4, 5, 6
    rng = np.random.default_rng(0)
    attention, x = Attention(width, heads, head_dim, Mixer(), 2), rng.normal(size=(2, tokens, width)).astype(np.float32)
    for tensor in attention.parameters():
        tensor.copy_(torch.from_numpy(rng.normal(size=tensor.shape)))
    weight, bias, projection, shift = (t.numpy().astype(np.float64) for t in attention.state_dict().values())
    q, k, v = np.split(x @ weight.T + bias, 3, axis=-1)
    results = []
    for head in range(heads):
        part = slice(head * head_dim, (head + 1) * head_dim)
        products = np.exp(q[..., part] @ k[..., part].transpose(0, 2, 1) / math.sqrt(head_dim))
        results.append(products / products.sum(axis=-1, keepdims=True) @ v[..., part])
    expected = np.concatenate(results, axis=-1) @ projection.T + shift
    assert_close(attention(torch.from_numpy(x)), expected, TOLERANCE, "attention")


def test_a_reduction_adds_the_pooled_input_padded_with_zeros() -> None:
    weights = untrained(SMALL)
    silent = {
        name: np.zeros_like(tensor) if name.startswith("reduction1.") and ".norm." not in name else tensor
        for name, tensor in weights.tensors.items()
    }
    model = build_model(type(weights)(SMALL, silent, weights.provenance))
    outputs = intermediates(model, _images(SMALL, 2))
    before, after = outputs["stage1.block2"].numpy(), outputs["reduction1"].numpy()
    pooled = before[:, 1:].reshape(2, 4, 2, 4, 2, 6).mean(axis=(2, 4)).reshape(2, 16, 6)
    assert_close(after[:, :1, :6], before[:, :1], TOLERANCE, "class token")
    assert_close(after[:, 1:, :6], pooled, TOLERANCE, "pooled patches")
    assert not after[:, :, 6:].any()
