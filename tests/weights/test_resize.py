"""Another image size: position tables as PyTorch's bicubic interpolation gives them, all else untouched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.checks import assert_close, refusal
from support.networks import PLAIN, SMALL, mini

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.resize import bicubic_weights, resize, resize_positions

SIZES = [(16, 20), (16, 28), (8, 10), (4, 7), (4, 8), (3, 5), (2, 3), (1, 4), (28, 16), (20, 3), (8, 4), (7, 1), (5, 5)]
POSITIONS = {"stem.position", "reduction1.position", "reduction2.position"}


def _interpolated(grid: np.ndarray, side: int) -> np.ndarray:
    """`(H, W, C)` to `(side, side, C)`, by PyTorch."""
    images = torch.from_numpy(grid).double().permute(2, 0, 1)[None]
    resized = F.interpolate(images, size=(side, side), mode="bicubic", align_corners=False)
    return resized[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_the_weights_are_pytorchs(before: int, after: int) -> None:
    units = torch.eye(before, dtype=torch.float64)[None, None]  # column i: the response to sample i
    expected = F.interpolate(units, size=(after, before), mode="bicubic", align_corners=False)[0, 0]
    assert_close(bicubic_weights(before, after), expected, 1e-12, f"weights {before} to {after}")


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_rows_sum_to_1_and_mirror(before: int, after: int) -> None:
    weights = bicubic_weights(before, after)
    assert weights.shape == (after, before)
    assert_close(weights.sum(axis=1), 1.0, 1e-12, "sums of rows")
    assert_close(weights, weights[::-1, ::-1], 1e-12, "mirrored")


@pytest.mark.parametrize("side", [1, 4, 16])
def test_the_same_size_has_the_identity_as_weights(side: int) -> None:
    assert_close(bicubic_weights(side, side), np.eye(side), 0.0, "identity")


@pytest.mark.parametrize("class_tokens", [0, 1])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_a_table_is_resized_as_pytorch_does(before: int, after: int, class_tokens: int) -> None:
    table = np.random.default_rng(before).normal(size=(1, class_tokens + before**2, 5)).astype(np.float32)
    found = resize_positions(table, after, class_tokens)
    expected = _interpolated(table[0, class_tokens:].reshape(before, before, 5), after).reshape(after**2, 5)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, :class_tokens], table[:, :class_tokens])
    assert_close(found[0, class_tokens:], expected, 1e-6, f"table {before} to {after}")


def test_the_same_size_is_the_same_object() -> None:
    weights = untrained(SMALL)
    assert resize(weights, SMALL.image_size) is weights


@pytest.mark.parametrize(("arch", "size"), [(SMALL, 64), (SMALL, 48), (SMALL, 16), (PLAIN, 48), (PLAIN, 12)])
def test_a_resized_checkpoint_differs_in_its_positions_alone(arch: ArchSpec, size: int) -> None:
    weights = untrained(arch)
    resized = resize(weights, size)
    assert resized.arch == arch.with_image_size(size)
    for name, tensor in weights.tensors.items():
        if name not in POSITIONS:
            assert resized.tensors[name] is tensor
    before, after = weights.tensors["stem.position"], resized.tensors["stem.position"]
    assert np.array_equal(after[:, 0], before[:, 0])
    for stage, name in enumerate(sorted(POSITIONS - {"stem.position"}), start=1):
        side, new = arch.side(stage), resized.arch.side(stage)
        expected = _interpolated(weights.tensors[name].reshape(side, side, -1), new).reshape(1, new**2, -1)
        assert_close(resized.tensors[name], expected, 1e-6, name)


def test_history_says_what_was_done() -> None:
    resized = resize(untrained(SMALL), 64).provenance
    assert resized.history[-1] == "position tables resized bicubically from 32 to 64 pixels"
    assert len(resized.history) == 2
    assert not resized.trained


def test_the_checkpoint_itself_stays_as_it_is() -> None:
    weights = untrained(SMALL)
    digest = weights.digest
    resize(weights, 64)
    assert (weights.digest, weights.arch) == (digest, SMALL)


@torch.no_grad()
def test_the_network_runs_at_twice_the_size() -> None:
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, 224, 224)).astype(np.float32))
    logits = build_model(resize(mini(), 224))(images)
    assert logits.shape == (2, 10)
    assert torch.isfinite(logits).all()


def test_a_constant_table_stays_constant() -> None:
    table = np.full((1, 17, 3), 0.7, np.float32)
    assert_close(resize_positions(table, 9, 1), 0.7, 1e-6, "constant")


@pytest.mark.parametrize("size", [0, -16, 1, 31, 33, 26, 10**6])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    message = refusal(lambda: resize(untrained(SMALL), size))
    assert message.startswith("image_size must be ")
    assert f"found {size}" in message
