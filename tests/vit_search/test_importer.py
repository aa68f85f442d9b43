"""The importer: the reference's checkpoints become ours exactly, and any other file is one line; no pickle is run."""

from __future__ import annotations

import argparse
import builtins
import hashlib
import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import (
    GOLDEN,
    assert_close,
    golden_arrays,
    golden_text,
    mini,
    refusal,
    supernet_definitions,
    supernet_mini,
)

from resnas_deploy.arch import Subnet
from resnas_deploy.checkpoint import Checkpoint, load, save
from resnas_deploy.errors import BadInput
from resnas_deploy.model import build_model
from resnas_deploy.slicing import slice_subnet
from resnas_deploy.vit_search.importer import import_checkpoint, reference_names
from resnas_deploy.vit_search.network_def import parse_network_def

MINI = GOLDEN / "vit_search_mini.pth.tar"
DEFINITION = golden_text("vit_search_mini.network_def.txt")
BIAS = "blocks.0.attn.proj.bias"  # (32,)
OURS = "stage1.block1.attention.projection.bias"

State = dict[str, Any]


@pytest.fixture
def state() -> State:
    """The averaged weights of the small network, by the reference's names."""
    return dict(torch.load(MINI, weights_only=True)["model_ema"])


def _saved(path: Path, data: object, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on tensors of unusual kinds
        torch.save(data, path, **options)
    return path


def _negated(state: State) -> State:
    return {name: -tensor for name, tensor in state.items()}


def _imported(path: Path, data: object) -> Checkpoint:
    return import_checkpoint(_saved(path, data), DEFINITION)


def _refused(path: Path, data: object, definition: str = DEFINITION) -> str:
    """The message without the file's name, which must stand in front."""
    _saved(path, data)
    message = refusal(lambda: import_checkpoint(path, definition))
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# --- what is read ---


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
    arch = _imported(tmp_path / "a", {"model": state}).arch
    assert (arch.image_size, arch.patch_size) == (96, 8)


def test_a_plain_stem_is_read(tmp_path: Path, state: State) -> None:
    plain = {name: tensor for name, tensor in state.items() if not name.startswith("patch_embed.conv")}
    plain["patch_embed.conv_proj.weight"] = torch.randn(32, 3, 14, 14)
    plain["patch_embed.conv_proj.bias"] = torch.randn(32)
    path = _saved(tmp_path / "a", {"model": plain})
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
    found = _imported(tmp_path / "a", {"model": state})
    assert set(mini().tensors) - set(found.tensors) == {"patch_head.weight", "patch_head.bias"}


def test_the_averaged_weights_are_preferred(tmp_path: Path, state: State) -> None:
    other = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    assert _imported(tmp_path / "a", {"model": other, "model_ema": state}).digest == mini().digest
    assert _imported(tmp_path / "b", {"model": state}).digest == mini().digest
    for absent in (None, {}):
        assert _imported(tmp_path / "c", {"model": state, "model_ema": absent}).digest == mini().digest
    assert "running_var" in _refused(tmp_path / "d", {"model": state, "model_ema": _negated(state)})


def test_history_has_the_file_its_hash_and_which_weights(tmp_path: Path, state: State) -> None:
    path = _saved(tmp_path / "a.pth.tar", {"model": state})
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
    path = _saved(tmp_path / "a", {"model": kind(state)}, _use_new_zipfile_serialization=zipped)
    assert zipfile.is_zipfile(path) == zipped
    assert import_checkpoint(path, DEFINITION).digest == mini().digest


def test_parameters_and_views_are_read_as_tensors(tmp_path: Path, state: State) -> None:
    changed = {name: torch.nn.Parameter(t) if t.is_floating_point() else t for name, t in state.items()}
    wide = torch.stack([state[BIAS], state[BIAS]], dim=1)
    changed[BIAS] = wide[:, 0]  # not contiguous
    assert _imported(tmp_path / "a", {"model": changed}).digest == mini().digest
    changed[BIAS] = torch._neg_view(-state[BIAS])  # negated when it is read
    assert _imported(tmp_path / "b", {"model": changed}).digest == mini().digest


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
    _saved(tmp_path / "a", {"model": absent})
    assert import_checkpoint(tmp_path / "a", definition).digest == found.digest
    message = refusal(lambda: import_checkpoint(tmp_path / "a", supernet_definitions()[0]))
    assert "blocks.0.norm1.weight (32,) is missing" in message


def test_tensors_at_an_index_that_is_not_dropped_are_refused(tmp_path: Path, state: State) -> None:
    for name in ("blocks.6.norm1.weight", "blocks.0.extra", "blocks.10.norm1.weight", "blocks.2.attn.qkv.bias"):
        message = _refused(tmp_path / "a", {"model": state | {name: torch.ones(3)}})
        assert message.endswith(f": '{name}' (3,) is not of this network")
    dropped = _exists_0(DEFINITION, 0)  # block 0 alone may have tensors that are not used, and of any shape
    _saved(tmp_path / "a", {"model": state | {"blocks.0.extra": torch.ones(3)}})
    assert len(import_checkpoint(tmp_path / "a", dropped).arch.stages[0].blocks) == 1
    message = _refused(tmp_path / "b", {"model": state | {"blocks.01.extra": torch.ones(3)}}, dropped)
    assert message.endswith("'blocks.01.extra' (3,) is not of this network")


# --- what is refused: the tensors ---


def test_a_checkpoint_of_another_network_names_the_first_differing_tensors() -> None:
    definition = DEFINITION.replace("(32, 96)", "(32, 80)").replace("(96, 192)", "(96, 128)")
    message = refusal(lambda: import_checkpoint(MINI, definition))
    assert message == (
        f"{MINI}: the tensors must be those of the network_def: "
        "blocks.1.mlp.fc1.weight must be (80, 32), found (96, 32); blocks.1.mlp.fc1.bias must be (80,), found (96,); "
        "blocks.1.mlp.fc2.weight must be (32, 80), found (32, 96); and 3 more"
    )
    message = refusal(lambda: import_checkpoint(MINI, supernet_definitions()[0]))
    assert "blocks.0.attn.qkv.weight must be (192, 32), found (96, 32)" in message


def test_a_bad_definition_is_refused() -> None:
    assert "the first entry of the network_def" in refusal(lambda: import_checkpoint(MINI, "((7, 32), (2, 32, 10))"))


@pytest.mark.parametrize("name", ["tokens", BIAS, "patch_embed.conv1.bn.running_var", "cls_head.bias"])
def test_a_missing_tensor_is_named(tmp_path: Path, state: State, name: str) -> None:
    shape = tuple(state.pop(name).shape)
    assert _refused(tmp_path / "a", {"model": state}).endswith(f": {name} {shape} is missing")


@pytest.mark.parametrize("name", ["pos_embed", "patch_embed.conv_proj.weight"])
def test_a_file_without_what_the_sizes_are_read_off_is_refused(tmp_path: Path, state: State, name: str) -> None:
    for value in (None, torch.ones(3), torch.ones(())):
        changed = {key: tensor for key, tensor in state.items() if key != name}
        message = _refused(tmp_path / "a", {"model": changed if value is None else changed | {name: value}})
        assert message.startswith("a checkpoint of this family must have patch_embed.conv_proj.weight (4-D) and pos_")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("pos_embed", (1, 0, 32), "pos_embed must have one row for the class token and a square of rows, found 0"),
        ("pos_embed", (1, 1, 32), "pos_embed must have one row for the class token and a square of rows, found 1"),
        ("pos_embed", (1, 64, 32), "pos_embed must have one row for the class token and a square of rows, found 64"),
        ("pos_embed", (1, 1 + 25, 32), "image_size must be a multiple of 56"),
        ("pos_embed", (1, 1 + 16, 32), "blocks.2.pos_embed must be (1, 4, 64), found (1, 16, 64)"),
        ("pos_embed", (1, 65, 31), "pos_embed must be (1, 65, 32), found (1, 65, 31)"),
        ("patch_embed.conv_proj.weight", (32, 24, 0, 0), "patch_size must be an integer from 1"),
        ("patch_embed.conv_proj.weight", (32, 24, 7, 5), "patch_embed.conv_proj.weight must be (32, 24, 7, 7), found"),
        ("patch_embed.conv1.conv.weight", (24, 3, 3), "patch_embed.conv1.conv.weight must be (24, 3, 3, 3), found"),
        ("patch_head.weight", (10, 95), "patch_head.weight must be (10, 96), found (10, 95)"),
        (BIAS, (), f"{BIAS} must be (32,), found ()"),
    ],
)
def test_wrong_shapes_are_refused(
    tmp_path: Path, state: State, name: str, shape: tuple[int, ...], message: str
) -> None:
    assert message in _refused(tmp_path / "a", {"model": state | {name: torch.ones(shape)}})


def test_a_table_that_claims_to_be_huge_is_refused(tmp_path: Path, state: State) -> None:
    huge = torch.zeros(1).expand(1, 4096**2 + 1, 32)  # one number in the file
    assert "blocks.2.pos_embed must be (1, 4194304, 64)" in _refused(
        tmp_path / "a", {"model": state | {"pos_embed": huge}}
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("theirs", "ours"), [(BIAS, OURS), ("patch_head.bias", "patch_head.bias")])
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, state: State, value: float, theirs: str, ours: str
) -> None:
    changed = state[theirs].clone()
    changed[-1] = value
    message = _refused(tmp_path / "a", {"model": state | {theirs: changed}})
    assert message == f"every weight must be finite, found NaN or infinity in {ours}"


def test_a_negative_variance_is_refused(tmp_path: Path, state: State) -> None:
    name = "patch_embed.conv1.bn.running_var"
    assert "must not be negative" in _refused(tmp_path / "a", {"model": state | {name: -state[name]}})


@pytest.mark.parametrize("there", ["weight", "bias"])
def test_half_a_patch_head_is_refused(tmp_path: Path, state: State, there: str) -> None:
    (absent,) = {"weight", "bias"} - {there}
    del state[f"patch_head.{absent}"]
    assert f"patch_head.{absent} " in _refused(tmp_path / "a", {"model": state})


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn"])
def test_other_floats_become_float32(tmp_path: Path, state: State, dtype: str) -> None:
    changed = state[BIAS].to(getattr(torch, dtype))
    found = _imported(tmp_path / "a", {"model": state | {BIAS: changed}})
    assert np.array_equal(found.tensors[OURS], changed.float().numpy())


def test_a_float64_beyond_float32_is_refused(tmp_path: Path, state: State) -> None:
    assert "finite" in _refused(
        tmp_path / "a", {"model": state | {BIAS: torch.full((32,), 1e300, dtype=torch.float64)}}
    )


@pytest.mark.parametrize("name", [BIAS, "patch_head.bias"])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64", "uint16"])
def test_tensors_that_are_no_floats_are_refused(tmp_path: Path, state: State, name: str, dtype: str) -> None:
    message = _refused(tmp_path / "a", {"model": state | {name: state[name].to(getattr(torch, dtype))}})
    assert message.endswith(f": {name} must be floating point, found torch.{dtype}")


def _csr(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(4, 8).to_sparse_csr()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "must be floating point, found torch.qint8"),
        (lambda t: t.to_sparse(), "found 'NAME' as torch.sparse_coo on cpu"),
        (_csr, "found 'NAME' as torch.sparse_csr on cpu"),
        (lambda t: t.to("meta"), "found 'NAME' as torch.strided on meta"),
        (lambda t: torch.nested.nested_tensor([t, t]), "found 'NAME' as nested"),
        (lambda t: torch.nested.nested_tensor([t, t], layout=torch.jagged), "found 'NAME' as nested"),
    ],
    ids=["quantised", "sparse", "csr", "meta", "nested", "jagged"],
)
@pytest.mark.parametrize("name", [BIAS, "pos_embed", "blocks.9.extra"])
def test_tensors_that_are_not_plain_are_refused(
    tmp_path: Path, state: State, make: Callable[[torch.Tensor], torch.Tensor], message: str, name: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # prototypes and deprecated kinds
        tensor = make(state[BIAS])
    found = _refused(tmp_path / "a", {"model": state | {name: tensor}})
    if name == BIAS or "NAME" in message:
        assert message.replace("NAME", name) in found


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path, state: State) -> None:
    message = _refused(tmp_path / "a", {"model": state | {"two\nlines": torch.ones(1)}})
    assert message.endswith(": 'two\\nlines' (1,) is not of this network")


# --- what is refused: the file ---


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({}, "found the keys []"),
        ({"state_dict": {}, "epoch": 3}, "found the keys ['epoch', 'state_dict']"),
        ({"model": None, "model_ema": None}, "found the keys ['model', 'model_ema']"),
        ({"model": {}}, "found the keys ['model']"),
        ({"model": []}, "found the keys ['model']"),
        ({1: 2, None: 3}, "found the keys ['1', 'None']"),
        ({"two\nlines": 1}, "found the keys ['two\\nlines']"),
        ([1, 2], "found a list"),
        ((), "found a tuple"),
        (None, "found a NoneType"),
        ("text", "found a str"),
        (torch.ones(3), "found a Tensor"),
    ],
)
def test_other_data_is_refused(tmp_path: Path, data: object, found: str) -> None:
    message = _refused(tmp_path / "a", data)
    assert message == f"a checkpoint must be a dict with model or model_ema, {found}"


@pytest.mark.parametrize("value", [None, 1.5, "text", [1.0], {"weight": 1}])
def test_values_that_are_no_tensors_are_refused(tmp_path: Path, state: State, value: object) -> None:
    message = _refused(tmp_path / "a", {"model": state | {BIAS: value}})
    assert message == f"model must map names to tensors, found '{BIAS}': {type(value).__name__}"


def test_names_that_are_no_text_are_refused(tmp_path: Path, state: State) -> None:
    message = _refused(tmp_path / "a", {"model": {7: torch.ones(1), **state}})
    assert message == "model must map names to tensors, found 7: Tensor"


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "no checkpoint")
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 1000,
        b"a text\n" * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(1000),
        b"PK\x03\x04",
        _zip(),
        pickle.dumps({"model": 1}),
        b"\x80\x02}.",
        b"(" * 1000,
    ],
    ids=["empty", "zeros", "text", "png", "zip start", "zip", "pickle", "small pickle", "marks"],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    message = refusal(lambda: import_checkpoint(path, DEFINITION))
    assert message.startswith(
        f"{path}: a checkpoint must be a whole file written by torch.save, found damaged or other"
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 1e-5, 1e-3, 0.1, 0.5, 0.99, 0.9999])
def test_truncated_files_are_refused(tmp_path: Path, state: State, share: float, zipped: bool) -> None:
    path = _saved(tmp_path / "a", {"model": state}, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for length in {int(share * len(whole)), len(whole) - 1 - int(share * 100)}:
        path.write_bytes(whole[:length])
        message = refusal(lambda: import_checkpoint(path, DEFINITION))
        assert message.startswith(f"{path}: a checkpoint must be a whole file written by torch.save, found damaged")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(lambda: import_checkpoint(tmp_path, DEFINITION)).endswith("found a folder")
    assert refusal(lambda: import_checkpoint(tmp_path / "absent", DEFINITION)).endswith("found no file")
    assert "too long" in refusal(lambda: import_checkpoint(tmp_path / ("a" * 300), DEFINITION))


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_give_a_checkpoint_or_one_line(tmp_path: Path, data: st.DataObject) -> None:
    changed = bytearray(MINI.read_bytes())
    offsets = st.integers(0, 20_000) | st.integers(len(changed) - 20_000, len(changed) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(offsets)] = data.draw(st.integers(0, 255))
    path = tmp_path / "a"
    path.write_bytes(changed)
    try:
        found = import_checkpoint(path, DEFINITION)
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert found.arch == mini().arch


# --- malice ---


class _Evil:
    """Runs code when it is unpickled by the ordinary way."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["top", "beside", "model", "tensor", "name"])
@pytest.mark.parametrize("function", ["eval", "exec", "open"])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, state: State, zipped: bool, place: str, function: str) -> None:
    marker = tmp_path / "ran"
    touch = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    evil = _Evil(open, str(marker), "w") if function == "open" else _Evil(getattr(builtins, function), touch)
    data = {
        "top": evil,
        "beside": {"model": state, "args": evil},
        "model": {"model": evil},
        "tensor": {"model": state | {BIAS: evil}},
        "name": {"model": {evil: torch.ones(1), **state}},
    }[place]
    path = _saved(tmp_path / "a", data, _use_new_zipfile_serialization=zipped)
    message = refusal(lambda: import_checkpoint(path, DEFINITION))
    assert message == (
        f"{path}: a checkpoint must hold tensors and plain data only, found a reference to "
        f"{'io.open' if function == 'open' else function}; nothing in it was run"
    )
    assert not marker.exists()


def test_the_malicious_files_are_malicious(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    touch = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    torch.load(_saved(tmp_path / "a", _Evil(eval, touch)), weights_only=False)
    assert marker.exists()


def test_a_plain_pickle_is_not_run_either(tmp_path: Path) -> None:
    path, marker = tmp_path / "a", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"model": _Evil(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()")}))
    refusal(lambda: import_checkpoint(path, DEFINITION))
    assert not marker.exists()


def test_options_beside_the_weights_are_plain_data(tmp_path: Path, state: State) -> None:
    options = argparse.Namespace(lr=5e-4, model="resnas", milestones=[1, 2], device=torch.device("cpu"), resume=None)
    rest = {
        "epoch": 299,
        "optimizer": {"state": {0: {"step": torch.ones(())}}, "param_groups": [{"betas": (0.9, 0.99)}]},
    }
    for zipped in (True, False):
        data = {"model": state, "args": options, **rest}
        path = _saved(tmp_path / "a", data, _use_new_zipfile_serialization=zipped)
        assert import_checkpoint(path, DEFINITION).digest == mini().digest


def test_code_among_the_options_is_not_run(tmp_path: Path, state: State) -> None:
    marker = tmp_path / "ran"
    options = argparse.Namespace(lr=_Evil(eval, f"__import__('pathlib').Path({str(marker)!r}).touch()"))
    message = _refused(tmp_path / "a", {"model": state, "args": options})
    assert message.endswith("found a reference to eval; nothing in it was run")
    assert not marker.exists()


def test_other_classes_are_refused_by_name(tmp_path: Path, state: State) -> None:
    message = _refused(tmp_path / "a", {"model": state, "args": Path("a")})
    assert message.endswith("found a reference to pathlib.PosixPath; nothing in it was run")
