"""The importer: any file that is not the reference's is one line."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import mini, supernet_definitions
from support.release_files import BIAS, DEFINITION, MINI, OURS, State, refused, saved

from resnas_deploy.errors import BadInput
from resnas_deploy.weights.vit_search.importer import import_checkpoint

# --- the tensors ---


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
    assert refused(tmp_path / "a", {"model": state}).endswith(f": {name} {shape} is missing")


@pytest.mark.parametrize("name", ["pos_embed", "patch_embed.conv_proj.weight"])
def test_a_file_without_what_the_sizes_are_read_off_is_refused(tmp_path: Path, state: State, name: str) -> None:
    for value in (None, torch.ones(3), torch.ones(())):
        changed = {key: tensor for key, tensor in state.items() if key != name}
        message = refused(tmp_path / "a", {"model": changed if value is None else changed | {name: value}})
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
    assert message in refused(tmp_path / "a", {"model": state | {name: torch.ones(shape)}})


def test_a_table_that_claims_to_be_huge_is_refused(tmp_path: Path, state: State) -> None:
    huge = torch.zeros(1).expand(1, 4096**2 + 1, 32)  # one number in the file
    assert "blocks.2.pos_embed must be (1, 4194304, 64)" in refused(
        tmp_path / "a", {"model": state | {"pos_embed": huge}}
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("theirs", "ours"), [(BIAS, OURS), ("patch_head.bias", "patch_head.bias")])
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, state: State, value: float, theirs: str, ours: str
) -> None:
    changed = state[theirs].clone()
    changed[-1] = value
    message = refused(tmp_path / "a", {"model": state | {theirs: changed}})
    assert message == f"every weight must be finite, found NaN or infinity in {ours}"


def test_a_negative_variance_is_refused(tmp_path: Path, state: State) -> None:
    name = "patch_embed.conv1.bn.running_var"
    assert "must not be negative" in refused(tmp_path / "a", {"model": state | {name: -state[name]}})


@pytest.mark.parametrize("there", ["weight", "bias"])
def test_half_a_patch_head_is_refused(tmp_path: Path, state: State, there: str) -> None:
    (absent,) = {"weight", "bias"} - {there}
    del state[f"patch_head.{absent}"]
    assert f"patch_head.{absent} " in refused(tmp_path / "a", {"model": state})


def test_a_float64_beyond_float32_is_refused(tmp_path: Path, state: State) -> None:
    assert "finite" in refused(tmp_path / "a", {"model": state | {BIAS: torch.full((32,), 1e300, dtype=torch.float64)}})


@pytest.mark.parametrize("name", [BIAS, "patch_head.bias"])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool", "complex64", "uint16"])
def test_tensors_that_are_no_floats_are_refused(tmp_path: Path, state: State, name: str, dtype: str) -> None:
    message = refused(tmp_path / "a", {"model": state | {name: state[name].to(getattr(torch, dtype))}})
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
    found = refused(tmp_path / "a", {"model": state | {name: tensor}})
    if name == BIAS or "NAME" in message:
        assert message.replace("NAME", name) in found


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path, state: State) -> None:
    message = refused(tmp_path / "a", {"model": state | {"two\nlines": torch.ones(1)}})
    assert message.endswith(": 'two\\nlines' (1,) is not of this network")


# --- the file ---


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
    message = refused(tmp_path / "a", data)
    assert message.startswith(f"a checkpoint must be a dict with model or model_ema, {found}; save the weights alone")


@pytest.mark.parametrize("value", [None, 1.5, "text", [1.0], {"weight": 1}])
def test_values_that_are_no_tensors_are_refused(tmp_path: Path, state: State, value: object) -> None:
    message = refused(tmp_path / "a", {"model": state | {BIAS: value}})
    assert message.startswith(f"model must map names to tensors, found '{BIAS}': {type(value).__name__}; save ")


def test_names_that_are_no_text_are_refused(tmp_path: Path, state: State) -> None:
    message = refused(tmp_path / "a", {"model": {7: torch.ones(1), **state}})
    assert message.startswith("model must map names to tensors, found 7: Tensor; save ")


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
    path = saved(tmp_path / "a", {"model": state}, _use_new_zipfile_serialization=zipped)
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
