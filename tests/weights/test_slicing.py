"""Slicing: a subnet's weights are the supernet's leading slices, as the reference cuts them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import assert_close, refusal
from support.networks import (
    SMALL,
    arch_specs,
    golden_arrays,
    kept_flags,
    subnets_inside,
    supernet_definitions,
    supernet_mini,
)

from resnas_deploy.arch.cost import parameters
from resnas_deploy.arch.spec import ArchSpec, Block, Stage, Subnet
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import Checkpoint, untrained
from resnas_deploy.weights.schema import patch_head_shapes, tensor_shapes
from resnas_deploy.weights.slicing import block_positions, slice_subnet
from resnas_deploy.weights.vit_search.network_def import parse_network_def

WEIGHTS = untrained(SMALL, seed=3)
NARROW = Subnet(
    ArchSpec(
        (
            Stage(4, (Block(1, 4, 5), Block(2, 4, 6))),
            Stage(7, (Block(1, 5, 9),)),
            Stage(10, (Block(1, 3, 8), Block(3, 3, 2))),
        ),
        classes=3,
        image_size=32,
        patch_size=4,
        stem_mid_width=2,
    ),
    ((False, True), (True,), (True, False)),
)


def _same(one: Checkpoint, other: Checkpoint) -> bool:
    return one.arch == other.arch and one.digest == other.digest


@pytest.mark.parametrize("index", [0, 1, 2])
@torch.no_grad()
def test_logits_of_the_golden_subnets(index: int) -> None:
    arrays = golden_arrays("vit_search_supernet_mini.npz")
    subnet = parse_network_def(supernet_definitions()[index], image_size=112)
    logits = build_model(slice_subnet(supernet_mini(), subnet))(torch.from_numpy(arrays["images"]))
    assert_close(logits, arrays["logits"][index], 1e-5, f"logits of subnet {index}")


def test_the_golden_subnets_differ() -> None:
    logits = golden_arrays("vit_search_supernet_mini.npz")["logits"]
    assert min(np.abs(logits[a] - logits[b]).max() for a, b in ((0, 1), (0, 2), (1, 2))) > 1e-2


@given(arch_specs())
@settings(max_examples=30)
def test_slicing_the_whole_is_the_identity(arch: ArchSpec) -> None:
    weights = untrained(arch)
    assert _same(slice_subnet(weights, Subnet.whole(arch)), weights)


@given(st.data())
@settings(max_examples=50)
def test_a_slice_has_the_subnets_tensors(data: st.DataObject) -> None:
    weights = untrained(data.draw(arch_specs()))
    subnet = data.draw(subnets_inside(weights.arch))
    found = slice_subnet(weights, subnet)
    assert found.arch == subnet.arch
    assert {name: tensor.shape for name, tensor in found.tensors.items()} == tensor_shapes(subnet.arch)
    assert sum(t.size for n, t in found.tensors.items() if "running" not in n) == parameters(subnet.arch)


@given(st.data())
@settings(max_examples=50)
def test_slicing_twice_is_slicing_once(data: st.DataObject) -> None:
    weights = untrained(data.draw(arch_specs()))
    outer = data.draw(subnets_inside(weights.arch))
    inner = data.draw(subnets_inside(outer.arch))
    twice = slice_subnet(slice_subnet(weights, outer), inner)

    stages, kept = [], []  # the inner subnet at the positions of the whole network
    for full, flags, stage, inner_flags in zip(
        outer.full.stages, outer.kept, inner.full.stages, inner.kept, strict=True
    ):
        remaining = iter(zip(stage.blocks, inner_flags, strict=True))
        pairs = [next(remaining) if keep else (block, False) for block, keep in zip(full.blocks, flags, strict=True)]
        stages.append(Stage(stage.width, tuple(block for block, _ in pairs)))
        kept.append(tuple(keep for _, keep in pairs))
    once = Subnet(replace(inner.full, stages=tuple(stages)), tuple(kept))
    assert _same(twice, slice_subnet(weights, once))


@given(st.data())
@settings(max_examples=30)
def test_dropping_alone_leaves_the_kept_blocks_as_they_are(data: st.DataObject) -> None:
    weights = untrained(data.draw(arch_specs()))
    subnet = Subnet(weights.arch, data.draw(kept_flags(weights.arch)))
    found = slice_subnet(weights, subnet)
    for name, position in block_positions(subnet).items():
        source = f"{name.partition('.')[0]}.block{position}"
        for tensor in ("attention.qkv.weight", "mlp.fc2.bias"):
            assert np.array_equal(found.tensors[f"{name}.{tensor}"], weights.tensors[f"{source}.{tensor}"])


def test_positions_count_dropped_blocks() -> None:
    stages = tuple(Stage(4, (Block(1, 1, 1),) * n) for n in (4, 1, 3))
    kept = ((True, False, False, True), (True,), (False, True, True))
    assert block_positions(Subnet(ArchSpec(stages), kept)) == {
        "stage1.block1": 1,
        "stage1.block2": 4,
        "stage2.block1": 1,
        "stage3.block1": 2,
        "stage3.block2": 3,
    }


def test_every_kind_of_tensor_is_its_leading_slice() -> None:
    found, whole = slice_subnet(WEIGHTS, NARROW).tensors, WEIGHTS.tensors
    block, source = "stage1.block1", "stage1.block2"  # the first block is dropped
    expected = {
        "stem.conv2.weight": whole["stem.conv2.weight"],
        "stem.projection.weight": whole["stem.projection.weight"][:4],
        "stem.class_token": whole["stem.class_token"][:, :, :4],
        "stem.position": whole["stem.position"][:, :, :4],
        f"{block}.norm1.weight": whole[f"{source}.norm1.weight"][:4],
        f"{block}.attention.projection.weight": whole[f"{source}.attention.projection.weight"][:4, :8],
        f"{block}.mlp.fc1.weight": whole[f"{source}.mlp.fc1.weight"][:6, :4],
        f"{block}.mlp.fc2.weight": whole[f"{source}.mlp.fc2.weight"][:4, :6],
        "reduction1.norm.bias": whole["reduction1.norm.bias"][:4],
        "reduction1.conv.weight": whole["reduction1.conv.weight"][:7, :4],
        "reduction1.class_linear.weight": whole["reduction1.class_linear.weight"][:7, :4],
        "reduction2.position": whole["reduction2.position"][:, :, :10],
        "head.norm.weight": whole["head.norm.weight"][:10],
        "head.linear.weight": whole["head.linear.weight"][:, :10],
        "head.linear.bias": whole["head.linear.bias"],
    }
    for name, tensor in expected.items():
        assert np.array_equal(found[name], tensor), name


def test_qkv_takes_the_leading_heads_of_q_of_k_and_of_v() -> None:
    stages = (Stage(2, (Block(3, 2, 1),)), Stage(2, (Block(1, 1, 1),)), Stage(2, (Block(1, 1, 1),)))
    arch = ArchSpec(stages, classes=1, image_size=8, patch_size=2, stem_mid_width=1)
    rows = np.arange(18, dtype=np.float32)  # q: 0 to 5, k: 6 to 11, v: 12 to 17; a head has two
    qkv = "stage1.block1.attention.qkv"
    tensors = {**untrained(arch).tensors, f"{qkv}.weight": np.stack([rows, -rows], axis=1), f"{qkv}.bias": rows}
    subnet = replace(arch, stages=(Stage(1, (Block(2, 2, 1),)), *stages[1:]))
    found = slice_subnet(Checkpoint(arch, tensors, WEIGHTS.provenance), Subnet.whole(subnet)).tensors
    kept = [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]
    assert found[f"{qkv}.bias"].tolist() == kept
    assert found[f"{qkv}.weight"].tolist() == [[row] for row in kept]


def test_a_smaller_head_has_the_leading_channels_of_each_head_of_q_of_k_and_of_v() -> None:
    stages = (Stage(2, (Block(3, 3, 1),)), Stage(2, (Block(1, 1, 1),)))
    arch = ArchSpec(stages, classes=1, image_size=4, patch_size=2, stem_mid_width=1)
    rows = np.arange(27, dtype=np.float32)  # q: 0 to 8, k: 9 to 17, v: 18 to 26; a head has three
    attention = "stage1.block1.attention"
    tensors = {
        **untrained(arch).tensors,
        f"{attention}.qkv.weight": np.stack([rows, -rows], axis=1),
        f"{attention}.qkv.bias": rows,
        f"{attention}.projection.weight": np.stack([rows[:9], -rows[:9]]),
    }
    subnet = replace(arch, stages=(Stage(1, (Block(2, 2, 1),)), *stages[1:]))
    found = slice_subnet(Checkpoint(arch, tensors, WEIGHTS.provenance), Subnet.whole(subnet)).tensors
    kept = [0, 1, 3, 4, 9, 10, 12, 13, 18, 19, 21, 22]
    assert found[f"{attention}.qkv.bias"].tolist() == kept
    assert found[f"{attention}.qkv.weight"].tolist() == [[row] for row in kept]
    assert found[f"{attention}.projection.weight"].tolist() == [[0, 1, 3, 4]]


def test_a_narrower_stem_has_the_leading_channels_of_each_convolution() -> None:
    found = slice_subnet(WEIGHTS, Subnet.whole(replace(SMALL, stem_mid_width=1))).tensors
    for name, leading in (
        ("conv1.weight", np.s_[:1]),
        ("conv2.weight", np.s_[:1, :1]),
        ("bn3.running_var", np.s_[:1]),
        ("projection.weight", np.s_[:, :1]),
    ):
        assert np.array_equal(found[f"stem.{name}"], WEIGHTS.tensors[f"stem.{name}"][leading]), name


def test_the_patch_head_is_sliced_too() -> None:
    heads = {
        name: np.random.default_rng(0).random(shape, dtype=np.float32)
        for name, shape in patch_head_shapes(SMALL).items()
    }
    found = slice_subnet(replace(WEIGHTS, tensors={**WEIGHTS.tensors, **heads}), NARROW).tensors
    assert np.array_equal(found["patch_head.weight"], heads["patch_head.weight"][:, :10])
    assert np.array_equal(found["patch_head.bias"], heads["patch_head.bias"])


def test_history_names_the_subnet() -> None:
    found = slice_subnet(WEIGHTS, NARROW).provenance
    assert found.history == (*WEIGHTS.provenance.history, f"subnet {NARROW.arch.fingerprint} sliced out")


def _block(**changes: int) -> ArchSpec:
    """SMALL with another second block of stage 1."""
    first, *others = SMALL.stages
    blocks = (first.blocks[0], replace(first.blocks[1], **changes))
    return replace(SMALL, stages=(replace(first, blocks=blocks), *others))


@pytest.mark.parametrize(
    ("full", "message"),
    [
        (replace(SMALL, classes=4), "classes must be the supernet's 3, found 4"),
        (replace(SMALL, classes=2), "classes must be the supernet's 3, found 2"),
        (SMALL.with_image_size(64), "image_size must be the supernet's 32, found 64"),
        (replace(SMALL, patch_size=2), "patch_size must be the supernet's 4, found 2"),
        (replace(SMALL, stem_mid_width=3), "stem_mid_width must be at most the supernet's 2, found 3"),
        (replace(SMALL, stem_mid_width=0), "stem_mid_width must be the supernet's 2, found 0"),
        (replace(SMALL, stages=SMALL.stages[1:]), "number of stages must be the supernet's 3, found 2"),
        (replace(SMALL, stages=tuple(replace(s, width=12) for s in SMALL.stages)), "stages[0].width must be at most"),
        (
            replace(SMALL, stages=(*SMALL.stages[:2], replace(SMALL.stages[2], width=12))),
            "stages[2].width must be at most the supernet's 11, found 12",
        ),
        (_block(heads=4), "stages[0].blocks[1].heads must be at most the supernet's 3, found 4"),
        (_block(head_dim=5), "stages[0].blocks[1].head_dim must be at most the supernet's 4, found 5"),
        (_block(hidden=8), "stages[0].blocks[1].hidden must be at most the supernet's 7, found 8"),
        (
            replace(SMALL, stages=(replace(SMALL.stages[0], blocks=SMALL.stages[0].blocks[:1]), *SMALL.stages[1:])),
            "stages[0] number of blocks must be the supernet's 2, found 1",
        ),
        (
            replace(SMALL, stages=(*SMALL.stages[:2], replace(SMALL.stages[2], blocks=SMALL.stages[2].blocks * 2))),
            "stages[2] number of blocks must be the supernet's 2, found 4",
        ),
    ],
)
def test_a_subnet_that_does_not_fit_is_refused(full: ArchSpec, message: str) -> None:
    assert refusal(lambda: slice_subnet(WEIGHTS, Subnet.whole(full))).startswith(f"the subnet's {message}")


def test_a_subnet_of_another_family_is_refused() -> None:
    assert refusal(lambda: slice_subnet(supernet_mini(), NARROW)).startswith("the subnet's classes must be")
