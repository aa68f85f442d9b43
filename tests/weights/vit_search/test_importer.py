"""The importer: the reference's checkpoints become ours exactly."""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checks import assert_close, refusal
from support.networks import golden_arrays, mini, supernet_definitions, supernet_mini
from support.places import GOLDEN
from support.release_files import BIAS, DEFINITION, OURS, State, imported, refused, saved

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import load, save
from resnas_deploy.weights.slicing import slice_subnet
from resnas_deploy.weights.vit_search.importer import import_checkpoint, reference_names
from resnas_deploy.weights.vit_search.network_def import parse_network_def


def _negated(state: State) -> State:
    return {name: -tensor for name, tensor in state.items()}


@torch.no_grad()
def test_logits_are_the_references() -> None:
    arrays = golden_arrays("vit_search_mini.npz")
    assert_close(build_model(mini())(torch.from_numpy(arrays["images"])), arrays["logits"], 1e-5, "logits")


def test_sizes_are_read_off_the_tensors() -> None:
    arch = mini().arch
    assert (arch.image_size, arch.patch_size, arch.classes, arch.stem_mid_width) == (112, 14, 10, 24)
    assert arch == parse_network_def(DEFINITION, image_size=112).arch


def test_another_image_and_patch_size_is_read_off_too(tmp_path: Path, state: State) -> None:
    state["patch_embed.conv_proj.weight"] = torch.ones(32, 24, 4, 4)
    state["pos_embed"], state["blocks.2.pos_embed"] = torch.ones(1, 1 + 12**2, 32), torch.ones(1, 6**2, 64)
    state["blocks.4.pos_embed"] = torch.ones(1, 3**2, 96)
    arch = imported(tmp_path / "a", {"model": state}).arch
    assert (arch.image_size, arch.patch_size) == (96, 8)


def test_a_plain_stem_is_read(tmp_path: Path, state: State) -> None:
    plain = {name: tensor for name, tensor in state.items() if not name.startswith("patch_embed.conv")}
    plain["patch_embed.conv_proj.weight"] = torch.randn(32, 3, 14, 14)
    plain["patch_embed.conv_proj.bias"] = torch.randn(32)
    path = saved(tmp_path / "a", {"model": plain})
    found = import_checkpoint(path, DEFINITION.replace("(4, 32)", "(0, 32)"))
    assert (found.arch.stem_mid_width, found.arch.image_size, found.arch.patch_size) == (0, 112, 14)
    assert np.array_equal(found.tensors["stem.projection.weight"], plain["patch_embed.conv_proj.weight"].numpy())
    assert "conv1.conv.weight" in refusal(lambda: import_checkpoint(path, DEFINITION))


def test_every_tensor_has_its_place(state: State) -> None:
    block, reduction = "blocks.3.", "blocks.2."  # stage 2's only block, and the first reduction
    for ours, theirs in {
        "stem.class_token": "tokens",
        "stem.position": "pos_embed",
        "stem.conv3.weight": "patch_embed.conv3.conv.weight",
        "stem.bn2.running_var": "patch_embed.conv2.bn.running_var",
        "stem.projection.bias": "patch_embed.conv_proj.bias",
        "stage2.block1.norm1.weight": block + "norm1.weight",
        "stage2.block1.attention.qkv.bias": block + "attn.qkv.bias",
        "stage2.block1.attention.projection.weight": block + "attn.proj.weight",
        "stage2.block1.norm2.bias": block + "norm2.bias",
        "stage2.block1.mlp.fc1.weight": block + "mlp.fc1.weight",
        "stage2.block1.mlp.fc2.weight": block + "mlp.fc2.weight",
        "reduction1.norm.weight": reduction + "norm.weight",
        "reduction1.conv.weight": reduction + "patch_reduce.weight",
        "reduction1.class_linear.bias": reduction + "token_transform.bias",
        "reduction1.position": reduction + "pos_embed",
        "head.norm.bias": "norm.bias",
        "head.linear.weight": "cls_head.weight",
    }.items():
        assert np.array_equal(mini().tensors[ours], state[theirs].numpy()), ours
    names = reference_names(parse_network_def(DEFINITION, image_size=112))
    assert len(set(names.values())) == len(names)
    assert set(state) - set(names.values()) == {
        *(f"patch_embed.conv{n}.bn.num_batches_tracked" for n in (1, 2, 3)),
        "patch_head.weight",
        "patch_head.bias",
    }


def test_the_patch_head_is_kept_where_it_is_there(tmp_path: Path, state: State) -> None:
    for name in ("patch_head.weight", "patch_head.bias"):
        assert np.array_equal(mini().tensors[name], state[name].numpy())
        del state[name]
    found = imported(tmp_path / "a", {"model": state})
    assert set(mini().tensors) - set(found.tensors) == {"patch_head.weight", "patch_head.bias"}


def test_the_averaged_weights_are_preferred(tmp_path: Path, state: State) -> None:
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    assert imported(tmp_path / "a", {"model": other, "model_ema": state}).digest == mini().digest
    assert imported(tmp_path / "b", {"model": state}).digest == mini().digest
    for absent in (None, {}):
        assert imported(tmp_path / "c", {"model": state, "model_ema": absent}).digest == mini().digest
    assert "running_var" in refused(tmp_path / "d", {"model": state, "model_ema": _negated(state)})


def test_history_has_the_file_its_hash_and_which_weights(tmp_path: Path, state: State) -> None:
    path = saved(tmp_path / "a.pth.tar", {"model": state})
    provenance = import_checkpoint(path, DEFINITION).provenance
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert provenance.history == (f"imported from a.pth.tar (model), sha256 {digest}",)
    assert provenance.trained
    assert "(model_ema)" in mini().provenance.history[0]


def test_the_imported_checkpoint_is_saved_and_loaded(tmp_path: Path) -> None:
    save(mini(), tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors")
    assert (found.digest, found.arch, found.provenance) == (mini().digest, mini().arch, mini().provenance)


@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("zipped", [True, False])
def test_old_and_new_files_of_torch_save_are_read(tmp_path: Path, state: State, kind: type, zipped: bool) -> None:
    path = saved(tmp_path / "a", {"model": kind(state)}, _use_new_zipfile_serialization=zipped)
    assert zipfile.is_zipfile(path) == zipped
    assert import_checkpoint(path, DEFINITION).digest == mini().digest


def test_parameters_and_views_are_read_as_tensors(tmp_path: Path, state: State) -> None:
    changed = {name: torch.nn.Parameter(t) if t.is_floating_point() else t for name, t in state.items()}
    wide = torch.stack([state[BIAS], state[BIAS]], dim=1)
    changed[BIAS] = wide[:, 0]  # not contiguous
    assert imported(tmp_path / "a", {"model": changed}).digest == mini().digest
    changed[BIAS] = torch._neg_view(-state[BIAS])  # negated when it is read
    assert imported(tmp_path / "b", {"model": changed}).digest == mini().digest


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn"])
def test_other_floats_become_float32(tmp_path: Path, state: State, dtype: str) -> None:
    changed = state[BIAS].to(getattr(torch, dtype))
    found = imported(tmp_path / "a", {"model": state | {BIAS: changed}})
    assert np.array_equal(found.tensors[OURS], changed.float().numpy())


def test_options_beside_the_weights_are_plain_data(tmp_path: Path, state: State) -> None:
    options = argparse.Namespace(lr=5e-4, model="resnas", milestones=[1, 2], device=torch.device("cpu"), resume=None)
    rest = {
        "epoch": 299,
        "optimizer": {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"betas": (0.9, 0.99)}]},
    }
    for zipped in (True, False):
        data = {"model": state, "args": options, **rest}
        path = saved(tmp_path / "a", data, _use_new_zipfile_serialization=zipped)
        assert import_checkpoint(path, DEFINITION).digest == mini().digest


# --- dropped blocks ---


def _exists_0(definition: str, block: int) -> str:
    """The definition with its block of this number (from 0, reductions not counted) dropped."""
    head, *blocks = definition.split(", (1, ")
    blocks[block] = blocks[block].replace("), 1)", "), 0)")
    return ", (1, ".join([head, *blocks])


def test_dropped_blocks_keep_their_index(tmp_path: Path) -> None:
    path, whole = GOLDEN / "vit_search_supernet_mini.pth.tar", supernet_mini()
    definition = _exists_0(_exists_0(supernet_definitions()[0], 0), 3)
    found = import_checkpoint(path, definition)
    kept = ((False, True), (True, False), (True, True))
    assert found.digest == slice_subnet(whole, Subnet(whole.arch, kept)).digest
    state = torch.load(path, weights_only=True)["model"]
    # stage 1 has the indices 0 and 1, a reduction 2, stage 2 3 and 4, a reduction 5, stage 3 6 and 7
    for ours, index in {"stage1.block1": 1, "stage2.block1": 3, "stage3.block1": 6, "stage3.block2": 7}.items():
        expected = state[f"blocks.{index}.mlp.fc1.weight"].numpy()
        assert np.array_equal(found.tensors[f"{ours}.mlp.fc1.weight"], expected), ours

    absent = {name: t for name, t in state.items() if not name.startswith(("blocks.0.", "blocks.4."))}
    saved(tmp_path / "a", {"model": absent})
    assert import_checkpoint(tmp_path / "a", definition).digest == found.digest
    message = refusal(lambda: import_checkpoint(tmp_path / "a", supernet_definitions()[0]))
    assert "blocks.0.norm1.weight (32,) is missing" in message


def test_tensors_at_an_index_that_is_not_dropped_are_refused(tmp_path: Path, state: State) -> None:
    for name in ("blocks.6.norm1.weight", "blocks.0.extra", "blocks.10.norm1.weight", "blocks.2.attn.qkv.bias"):
        message = refused(tmp_path / "a", {"model": state | {name: torch.ones(3)}})
        assert message.endswith(f": '{name}' (3,) is not of this network")
    dropped = _exists_0(DEFINITION, 0)  # block 0 alone may have tensors that are not used, and of any shape
    saved(tmp_path / "a", {"model": state | {"blocks.0.extra": torch.ones(3)}})
    assert len(import_checkpoint(tmp_path / "a", dropped).arch.stages[0].blocks) == 1
    message = refused(tmp_path / "b", {"model": state | {"blocks.01.extra": torch.ones(3)}}, dropped)
    assert message.endswith("'blocks.01.extra' (3,) is not of this network")
