"""Checkpoints: weights that are not the architecture's and files that are not ours are one clear line."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file as save_torch
from support.checks import refusal
from support.networks import PLAIN, SMALL
from support.places import GOLDEN

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import SCHEMA, Array, load, save, untrained
from resnas_deploy.weights.schema import patch_head_shapes, tensor_shapes

WEIGHTS = untrained(SMALL, seed=1)
FUZZ = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])

HEADER: dict[str, object] = {
    "schema": SCHEMA,
    "arch": SMALL.to_json(),
    "provenance": {"trained": False, "history": []},
}
TASK = {
    "class_names": ["a", "b", "c"],
    "preprocessing": Preprocessing.for_image_size(SMALL.image_size).to_json(),
    "held_out": 0,
}


def _changed(name: str, value: Array) -> dict[str, Array]:
    return {**WEIGHTS.tensors, name: value}


def _refused(tensors: Mapping[str, Array], arch: ArchSpec = SMALL) -> str:
    return refusal(lambda: replace(WEIGHTS, arch=arch, tensors=tensors))


def _foreign(path: Path, tensors: dict[str, Array | torch.Tensor], metadata: dict[str, str] | None) -> Path:
    """A safetensors file that we did not write."""
    as_torch = {n: t if isinstance(t, torch.Tensor) else torch.from_numpy(t) for n, t in tensors.items()}
    save_torch(as_torch, path, metadata=metadata)
    return path


# --- weights ---


def test_wrong_shapes_are_refused_with_the_first_differing_tensors() -> None:
    tensors = dict(WEIGHTS.tensors)
    tensors["stem.projection.bias"] = np.zeros(7, np.float32)
    del tensors["stage1.block1.norm1.weight"]
    tensors["reduction1.conv.weight"] = tensors["reduction1.conv.weight"].transpose(1, 0, 2, 3)
    tensors["other"] = tensors["another\n"] = np.zeros((1, 2), np.float32)
    message = _refused(tensors)
    assert message == (
        "the weights must be those of the architecture: stem.projection.bias must be (6,), found (7,); "
        "stage1.block1.norm1.weight (6,) is missing; reduction1.conv.weight must be (9, 6, 3, 3), found (6, 9, 3, 3); "
        "and 2 more"
    )


def test_foreign_tensors_are_refused() -> None:
    message = _refused(_changed("two\nlines", np.zeros((1, 2), np.float32)))
    assert message.endswith(": 'two\\nlines' (1, 2) is not of this network")


def test_weights_of_another_network_are_refused() -> None:
    message = _refused(WEIGHTS.tensors, PLAIN)
    assert "stem.projection.weight must be (6, 3, 3, 3), found (6, 2, 2, 2)" in message


@pytest.mark.parametrize("there", ["weight", "bias"])
def test_half_a_patch_head_is_refused(there: str) -> None:
    shapes = patch_head_shapes(SMALL)
    (absent,) = {"weight", "bias"} - {there}
    tensors = _changed(f"patch_head.{there}", np.zeros(shapes[f"patch_head.{there}"], np.float32))
    message = _refused(tensors)
    assert message.endswith(f"patch_head.{absent} {shapes[f'patch_head.{absent}']} is missing")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["stem.class_token", "stage3.block2.mlp.fc2.bias", "stem.bn2.running_var"])
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    tensor = WEIGHTS.tensors[name].copy()
    tensor.flat[-1] = value
    message = _refused(_changed(name, tensor))
    assert message == f"every weight must be finite, found NaN or infinity in {name}"


def test_a_negative_variance_is_refused() -> None:
    name = "stem.bn3.running_var"
    message = _refused(_changed(name, np.array([1, -0.5], np.float32)))
    assert message == f"a variance must not be negative, found -0.5 in {name}"
    replace(WEIGHTS, tensors=_changed(name, np.zeros(2, np.float32)))


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32", "bool", "complex64", ">f4"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    tensor = np.ones(3, dtype)
    message = _refused(_changed("head.linear.bias", tensor))
    assert message == f"every tensor must be float32, found head.linear.bias as {tensor.dtype}"


# --- files ---


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int64", "bool", "complex64", "float8_e4m3fn"])
def test_files_of_other_dtypes_are_refused(tmp_path: Path, dtype: str) -> None:
    tensors: dict[str, Array | torch.Tensor] = {**WEIGHTS.tensors}
    tensors["head.linear.bias"] = torch.ones(3).to(getattr(torch, dtype))
    path = _foreign(tmp_path / "a", tensors, {"resnas": json.dumps(HEADER)})
    message = refusal(lambda: load(path))
    assert message.startswith(f"{path}: every tensor must be float32 (F32), found 'head.linear.bias' as ")


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    for metadata in (None, {}, {"format": "pt"}):
        path = _foreign(tmp_path / "a", dict(WEIGHTS.tensors), metadata)
        message = refusal(lambda path=path: load(path))
        assert message.startswith(f"{path}: the file must have the architecture in its metadata, found none")
    empty = _foreign(tmp_path / "b", {}, {"resnas": json.dumps(HEADER)})
    assert "stem.conv1.weight (2, 3, 3, 3) is missing; " in refusal(lambda: load(empty))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "the metadata must be JSON, found something else"),
        ("{", "the metadata must be JSON, found something else"),
        ("null", "the metadata must be JSON with a schema number"),
        ("[1]", "the metadata must be JSON with a schema number"),
        ("{}", "the metadata must be JSON with a schema number"),
        ("9" * 5000, "a number of 5000 digits"),
        ("[" * 50_000, "the metadata must be JSON, found lists or objects nested too deeply"),
        *(
            (json.dumps(HEADER | {"schema": schema}), "the metadata must be JSON with a schema number")
            for schema in (0, -1, True, 1.0, "1", None)
        ),
        (json.dumps(HEADER | {"schema": SCHEMA + 1}), "the schema must be at most 1, found 2; use a newer resnas"),
        (json.dumps({"schema": 10**100}), "a number of 101 digits"),
        (json.dumps(HEADER | {"arch": None}), "the metadata.arch must be there, found none"),
        (json.dumps({"schema": 1}), "the metadata.arch must be there, found none"),
        (json.dumps(HEADER | {"arch": SMALL.to_json() | {"classes": 0}}), "classes must be an integer from 1"),
        (json.dumps(HEADER | {"arch": SMALL.to_json() | {"classes": 4}}), "head.linear.weight must be (4, 11), found"),
        (json.dumps(HEADER | {"arch": PLAIN.to_json()}), "stem.projection.weight must be (6, 3, 3, 3), found"),
        (json.dumps(HEADER | {"provenance": None}), "provenance must be there, found none"),
        (json.dumps(HEADER | {"provenance": {"trained": True}}), "provenance.history must be there, found none"),
        (
            json.dumps(HEADER | {"provenance": {"trained": 1, "history": []}}),
            "provenance.trained must be true or false",
        ),
        (json.dumps(HEADER | {"provenance": {"trained": True, "history": "a"}}), "provenance.history must be a list"),
        (
            json.dumps(HEADER | {"provenance": {"trained": True, "history": [1]}}),
            "provenance.history[0] must be a text",
        ),
        (json.dumps(HEADER | {"task": TASK | {"held_out": -1}}), "task: held_out must be a number from 0, found -1"),
        (json.dumps(HEADER | {"task": TASK | {"class_names": "ab"}}), "task.class_names must be a list, found 'ab'"),
        (json.dumps(HEADER | {"task": TASK | {"seed": 1}}), "task has the unknown field 'seed'"),
    ],
    ids=lambda text: text[:40],
)
def test_metadata_that_is_not_ours_is_refused(tmp_path: Path, header: str, message: str) -> None:
    path = _foreign(tmp_path / "a", dict(WEIGHTS.tensors), {"resnas": header})
    found = refusal(lambda: load(path))
    assert found.startswith(f"{path}: ")
    assert message in found
    assert len(found) < 600


def test_weights_in_a_file_are_checked_too(tmp_path: Path) -> None:
    tensor = WEIGHTS.tensors["stem.position"].copy()
    tensor.flat[3] = np.nan
    path = _foreign(tmp_path / "a", dict(_changed("stem.position", tensor)), {"resnas": json.dumps(HEADER)})
    assert refusal(lambda: load(path)) == f"{path}: every weight must be finite, found NaN or infinity in stem.position"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"text\n" * 100,
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff" * 100,
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**6) + b"[" * 10**6,
    ],
    ids=lambda data: repr(data[:12]),
)
def test_other_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)
    assert refusal(lambda: load(path)).startswith(str(path))


def test_a_pickle_is_refused_with_the_command_that_converts_it() -> None:
    message = refusal(lambda: load(GOLDEN / "vit_search_mini.pth.tar"))
    assert "must be a whole safetensors file" in message
    assert message.endswith("is converted by `import_checkpoint()`")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert refusal(lambda: load(tmp_path)).endswith("found a folder")
    assert refusal(lambda: load(tmp_path / "absent")).endswith("found no file")
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    assert refusal(lambda: load(tmp_path / "link")).endswith(f"found a link to {tmp_path / 'absent'}, where nothing is")
    assert "File name too long" in refusal(lambda: load(tmp_path / ("a" * 300)))


def test_a_file_that_may_not_be_looked_at_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    assert "Permission denied" in refusal(lambda: load(tmp_path / "a"))


def _loads_or_refuses(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        found = load(path)
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert {name: tensor.shape for name, tensor in found.tensors.items()} == tensor_shapes(found.arch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("checkpoint") / "a"
    save(WEIGHTS, path)
    return path.read_bytes()


@given(data=st.data())
@FUZZ
def test_a_truncated_file_is_refused(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    path = tmp_path / "a"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert refusal(lambda: load(path)).startswith(f"{path} must be a whole safetensors file, found: ")


@given(data=st.data())
@FUZZ
def test_flipped_bytes_give_a_checkpoint_or_one_line(tmp_path: Path, whole: bytes, data: st.DataObject) -> None:
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        offset = data.draw(st.integers(0, header - 1) | st.integers(0, len(whole) - 1))
        changed[offset] = data.draw(st.integers(0, 255))
    _loads_or_refuses(tmp_path / "a", bytes(changed))


@given(data=st.binary(max_size=200))
@FUZZ
def test_any_bytes_give_a_checkpoint_or_one_line(tmp_path: Path, data: bytes) -> None:
    _loads_or_refuses(tmp_path / "a", data)
    _loads_or_refuses(tmp_path / "a", struct.pack("<Q", len(data)) + data)
