"""Supernets of the reference's format, imported by their search space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.checks import assert_close, refusal
from support.networks import golden_arrays, golden_space, supernet_definitions, supernet_mini
from support.places import GOLDEN
from support.release_files import saved

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import load, save
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.space_files import packaged_spaces, supernet_space
from resnas_deploy.weights.vit_search.importer import import_checkpoint
from resnas_deploy.weights.vit_search.network_def import parse_network_def

SUPERNET = GOLDEN / "vit_search_supernet_mini.pth.tar"


def _first(space: SearchSpace, **changes: object) -> SearchSpace:
    return replace(space, stages=(replace(space.stages[0], **changes), *space.stages[1:]))


def test_the_network_follows_from_the_space() -> None:
    found = import_checkpoint(SUPERNET, space=golden_space("mini"))
    assert found.digest == supernet_mini().digest
    assert found.arch == supernet_mini().arch
    assert found.space == golden_space("mini")
    assert import_checkpoint(SUPERNET, supernet_definitions()[0], golden_space("mini")).digest == found.digest


def test_a_network_def_has_no_word_for_the_mixers_of_a_space():
    """Whichever is the dearest one: the weights are the same."""
    space = _first(golden_space("mini"), mixers=("pooled2", "window3"))
    assert space.widest().full.stages[0].blocks[0].mixer == "window3"
    found = import_checkpoint(SUPERNET, supernet_definitions()[0], space)
    assert (found.arch, found.space) == (space.widest().full, space)
    message = refusal(lambda: import_checkpoint(SUPERNET, supernet_definitions()[1], space))
    assert "must be of the widest subnet of its space, mini: " in message


def test_the_space_is_kept_with_the_heads_classes_and_the_tables_image_size(tmp_path) -> None:
    other = replace(golden_space("mini"), classes=1000, image_size=224)
    save(import_checkpoint(SUPERNET, space=other), tmp_path / "supernet.safetensors")
    found = supernet_space(load(tmp_path / "supernet.safetensors"), tmp_path)
    assert found == golden_space("mini")


@torch.no_grad()
def test_the_golden_subnets_lie_in_the_space_and_give_the_references_logits() -> None:
    supernet, arrays = (
        import_checkpoint(SUPERNET, space=golden_space("mini")),
        golden_arrays(f"{SUPERNET.name[:24]}.npz"),
    )
    for definition, logits in zip(supernet_definitions(), arrays["logits"], strict=True):
        subnet = parse_network_def(definition, image_size=112)
        assert golden_space("mini").holds(subnet.arch)
        alone = build_model(slice_subnet(supernet, subnet))
        assert_close(alone(torch.from_numpy(arrays["images"])), logits, 1e-5, "logits")


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (packaged_spaces()["tiny"], "patch_embed.conv_proj.weight must be (256, 24, 7, 7), found (32, 24, 7, 7)"),
        (_first(golden_space("mini"), widths=(40, 32)), "patch_embed.conv_proj.weight must be (40, 24, 7, 7), found"),
        (_first(golden_space("mini"), heads=(5, 4)), "blocks.0.attn.qkv.weight must be (240, 32), found (192, 32)"),
        (_first(golden_space("mini"), hidden=(100,)), "blocks.0.mlp.fc1.weight must be (100, 32), found (96, 32)"),
        (_first(golden_space("mini"), blocks=3), "blocks.2.norm1.weight (32,) is missing"),
        (_first(golden_space("mini"), blocks=1, droppable=()), "blocks.1.norm.weight (32,) is missing"),
        (replace(golden_space("mini"), patch_size=16, image_size=128), "must be (32, 24, 8, 8), found (32, 24, 7, 7)"),
        (
            replace(golden_space("mini"), stem_mid_widths=(32, 24)),
            "conv1.conv.weight must be (32, 3, 3, 3), found",
        ),
        (
            replace(golden_space("mini"), stem_mid_widths=(0,)),
            "conv_proj.weight must be (32, 3, 14, 14), found (32,",
        ),
    ],
    ids=range(9),
)
def test_a_space_that_the_tensors_do_not_fit_is_told_by_the_first_of_them(space: SearchSpace, said: str) -> None:
    message = refusal(lambda: import_checkpoint(SUPERNET, space=space))
    assert message.startswith(f"{SUPERNET}: the tensors must be those of the supernet of the space {space.name}: ")
    assert said in message


@pytest.mark.parametrize(
    ("number", "said"),
    [(1, "the width of stage 1 must be 32, found 24"), (2, "the width of stage 1 must be 32, found 28")],
)
def test_the_definition_of_a_subnet_is_not_that_of_its_supernet(number: int, said: str) -> None:
    message = refusal(lambda: import_checkpoint(SUPERNET, supernet_definitions()[number], golden_space("mini")))
    assert f"must be of the widest subnet of its space, mini: {said}; it may be left out" in message


def test_heads_that_no_tensor_tells_are_told_by_the_definition() -> None:
    space = _first(golden_space("mini"), heads=(8,), head_dims=(8,))
    assert import_checkpoint(SUPERNET, space=space).arch != supernet_mini().arch
    message = refusal(lambda: import_checkpoint(SUPERNET, supernet_definitions()[0], space))
    assert "heads of block 1 of stage 1 must be 8, found 4" in message


def test_a_plain_stem_and_two_stages(tmp_path) -> None:
    stage = StageSpace((4,), (1,), (2,), (3,), 1)
    space = SearchSpace("plain", (stage, stage), classes=2, image_size=8, patch_size=2, stem_mid_widths=(0,))
    block = {
        "norm1.weight": (4,), "norm1.bias": (4,), "attn.qkv.weight": (6, 4), "attn.qkv.bias": (6,),
        "attn.proj.weight": (4, 2), "attn.proj.bias": (4,), "norm2.weight": (4,), "norm2.bias": (4,),
        "mlp.fc1.weight": (3, 4), "mlp.fc1.bias": (3,), "mlp.fc2.weight": (4, 3), "mlp.fc2.bias": (4,),
    }  # fmt: skip
    shapes = {
        "tokens": (1, 1, 4), "pos_embed": (1, 17, 4), "patch_embed.conv_proj.weight": (4, 3, 2, 2),
        "patch_embed.conv_proj.bias": (4,), "blocks.1.norm.weight": (4,), "blocks.1.norm.bias": (4,),
        "blocks.1.patch_reduce.weight": (4, 4, 3, 3), "blocks.1.patch_reduce.bias": (4,),
        "blocks.1.token_transform.weight": (4, 4), "blocks.1.token_transform.bias": (4,),
        "blocks.1.pos_embed": (1, 4, 4), "norm.weight": (4,), "norm.bias": (4,), "cls_head.weight": (2, 4),
        "cls_head.bias": (2,), **{f"blocks.{index}.{name}": shape for index in (0, 2) for name, shape in block.items()},
    }  # fmt: skip
    rng = np.random.default_rng(0)
    state = {name: torch.from_numpy(rng.random(shape, dtype=np.float32)) for name, shape in shapes.items()}
    found = import_checkpoint(saved(tmp_path / "a", {"model": state}), space=space.with_image_size(16))
    assert found.space == space
    assert found.arch == space.widest().arch
