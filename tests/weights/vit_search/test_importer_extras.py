"""The importer: plain values beside the weights are read past, and weights under other names are found."""

from __future__ import annotations

import argparse
import datetime
import decimal
import enum
import pathlib
import pickle
import types
import uuid
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from support.checks import refusal
from support.networks import mini
from support.places import GOLDEN
from support.release_files import BIAS, DEFINITION, State, imported, refused, saved

from resnas_deploy.weights.vit_search.importer import import_checkpoint
from resnas_deploy.weights.vit_search.inert import Inert, stand_ins

VALUES = {
    "numpy float": np.float64(81.7),
    "numpy int": np.int32(3),
    "numpy bool": np.bool_(True),
    "numpy array": np.arange(6.0).reshape(2, 3),
    "numpy texts": np.array(["a", "b"]),
    "numpy dtype": np.dtype("float32"),
    "numpy type": np.float32,
    "path": pathlib.PosixPath("/x"),
    "windows path": pathlib.PureWindowsPath("C:\\x"),
    "options": argparse.Namespace(output_dir=pathlib.Path("/x"), lr=np.float32(0.1), inner=argparse.Namespace(a=1)),
    "namespace": types.SimpleNamespace(a=1),
    "date": datetime.date(2021, 9, 1),
    "moment": datetime.datetime(2021, 9, 1, 12, tzinfo=datetime.UTC),
    "duration": datetime.timedelta(hours=3),
    "ordered": OrderedDict(a=1),
    "default": defaultdict(list, {"loss": [1.0, 2.0]}),
    "counter": Counter("hello"),
    "set": {1, 2},
    "frozen set": frozenset({1}),
    "range": range(3),
    "type": int,
    "complex": 1j,
    "bytes": b"abc",
    "size": torch.Size([1, 2]),
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "version": torch.__version__,
    "decimal": decimal.Decimal("0.1"),
    "id": uuid.UUID(int=5),
    "random state": np.random.RandomState(0).get_state(),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", VALUES)
def test_a_plain_value_beside_the_weights(tmp_path: Path, state: State, kind: str, zipped: bool) -> None:
    data = {"model": state, "extra": VALUES[kind], "list": [VALUES[kind]]}
    path = saved(tmp_path / "a", data, _use_new_zipfile_serialization=zipped)
    assert import_checkpoint(path, DEFINITION).digest == mini().digest


@pytest.mark.parametrize(
    "name",
    [
        *("numpy.core.multiarray scalar", "numpy._core.multiarray scalar", "numpy.core.multiarray _reconstruct"),
        *("pathlib._local PosixPath", "pathlib WindowsPath", "numpy._core.numeric _frombuffer"),
    ],
)
def test_names_of_other_versions(tmp_path: Path, state: State, name: str) -> None:
    """What another Python and NumPy would have written, put in the place of a class that is here."""
    path = tmp_path / "a"
    saved(path, {"model": state, "extra": decimal.Decimal(1)}, _use_new_zipfile_serialization=False)
    module, attribute = name.split()
    here = b"cdecimal\nDecimal\n"
    content = path.read_bytes()
    assert content.count(here) == 1
    path.write_bytes(content.replace(here, f"c{module}\n{attribute}\n".encode()))
    assert import_checkpoint(path, DEFINITION).digest == mini().digest


def test_stand_ins_make_nothing_of_what_they_stand_for(tmp_path: Path) -> None:
    with torch.serialization.safe_globals(list(stand_ins())):
        found = torch.load(
            saved(tmp_path / "a", {"path": pathlib.Path("x"), "number": np.float64(1), "loss": defaultdict(int, a=1)}),
            weights_only=True,
        )
    assert isinstance(found["path"], Inert)
    assert isinstance(found["number"], Inert)
    assert not vars(found["path"])
    assert found["loss"] == {"a": 1}
    with pytest.raises(pickle.UnpicklingError):  # outside, torch refuses them as before
        torch.load(tmp_path / "a", weights_only=True)


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize("value", [Colour.RED, torch.nn.Linear(2, 2), torch.optim.SGD([torch.zeros(1)], lr=0.1), len])
def test_for_everything_else_the_remedy_is_said(tmp_path: Path, state: State, value: object) -> None:
    message = refused(tmp_path / "a", {"model": state, "extra": value})
    assert "found a reference to " in message
    assert message.endswith(
        "nothing in it was run; save the weights alone where the file was made: "
        "torch.save({'model': network.state_dict()}, FILE)"
    )


def test_a_plain_value_in_the_place_of_weights_is_named(tmp_path: Path, state: State) -> None:
    array = state[BIAS].numpy()
    message = refused(tmp_path / "a", {"model": state | {BIAS: array}})
    assert message.startswith(f"model must map names to tensors, found '{BIAS}': ndarray; save the weights alone")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_pickle_protocols_are_read_or_the_remedy_is_said(tmp_path: Path, state: State, protocol: int) -> None:
    path = saved(tmp_path / "a", {"model": state}, pickle_protocol=protocol)
    if protocol == 3:
        assert import_checkpoint(path, DEFINITION).digest == mini().digest
    else:
        assert "save the weights alone" in refusal(lambda: import_checkpoint(path, DEFINITION))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_archive_is_told_from_a_damaged_file(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a")
    message = refusal(lambda: import_checkpoint(tmp_path / "a", DEFINITION))
    assert "found a TorchScript archive; save the weights alone" in message


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict", "model_ema", "state_dict_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod.", "model."])
def test_weights_are_found_under_other_names(tmp_path: Path, state: State, key: str, prefix: str) -> None:
    wrapped = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    found = imported(tmp_path / "a", {key: wrapped, "epoch": 3})
    assert found.digest == mini().digest
    assert f"({key})" in found.provenance.history[0]


def test_a_bare_state_dict_and_an_averaged_one(tmp_path: Path, state: State) -> None:
    assert imported(tmp_path / "a", state).digest == mini().digest
    assert imported(tmp_path / "b", OrderedDict(state)).digest == mini().digest
    averaged = {f"module.{name}": tensor for name, tensor in state.items()} | {"n_averaged": torch.tensor(7)}
    assert imported(tmp_path / "c", {"model": averaged}).digest == mini().digest
    worse = {name: tensor * 0 for name, tensor in state.items()}
    assert imported(tmp_path / "d", {"state_dict": worse, "state_dict_ema": state}).digest == mini().digest


def test_a_prefix_of_some_names_is_no_wrapper(tmp_path: Path, state: State) -> None:
    changed = {(f"module.{name}" if name == BIAS else name): tensor for name, tensor in state.items()}
    assert f"{BIAS} (32,) is missing" in refused(tmp_path / "a", {"model": changed})


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_of_half_the_precision(tmp_path: Path, state: State, dtype: torch.dtype, zipped: bool) -> None:
    half = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    path = saved(tmp_path / "a", {"model": half, "best": np.float32(1)}, _use_new_zipfile_serialization=zipped)
    found = import_checkpoint(path, DEFINITION)
    assert all(tensor.dtype == np.float32 for tensor in found.tensors.values())
    assert np.array_equal(found.tensors["head.linear.bias"], half["cls_head.bias"].float().numpy())


def test_another_pickle_protocol_is_told_from_damage(tmp_path):
    path = tmp_path / "newer.pth.tar"
    torch.save(torch.load(GOLDEN / "vit_search_mini.pth.tar", weights_only=True), path, pickle_protocol=4)
    message = refusal(lambda: import_checkpoint(path, ""))
    assert "own pickle_protocol (2)" in message
    assert message.endswith("FILE)")
