"""The importer: nothing in a pickle is run."""

from __future__ import annotations

import argparse
import builtins
import pickle
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import torch
from support.checks import refusal
from support.release_files import BIAS, DEFINITION, State, refused, saved

from resnas_deploy.weights.vit_search.importer import import_checkpoint

SAVE = "save the weights alone where the file was made: torch.save({'model': network.state_dict()}, FILE)"


class _Evil:
    """Runs code when it is unpickled by the ordinary way."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def _touching(marker: Path, function: Callable[..., object] = eval) -> _Evil:
    return _Evil(function, f"__import__('pathlib').Path({str(marker)!r}).touch()")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["top", "beside", "model", "tensor", "name"])
@pytest.mark.parametrize("function", ["eval", "exec", "open"])
def test_nothing_in_a_pickle_is_run(tmp_path: Path, state: State, zipped: bool, place: str, function: str) -> None:
    marker = tmp_path / "ran"
    evil = _Evil(open, str(marker), "w") if function == "open" else _touching(marker, getattr(builtins, function))
    data = {
        "top": evil,
        "beside": {"model": state, "args": evil},
        "model": {"model": evil},
        "tensor": {"model": state | {BIAS: evil}},
        "name": {"model": {evil: torch.ones(1), **state}},
    }[place]
    path = saved(tmp_path / "a", data, _use_new_zipfile_serialization=zipped)
    message = refusal(lambda: import_checkpoint(path, DEFINITION))
    named = f"{open.__module__}.open"  # io's, and _io's from Python 3.13 on
    assert message == (
        f"{path}: a checkpoint must hold tensors and plain data only, found a reference to "
        f"{named if function == 'open' else function}; nothing in it was run; {SAVE}"
    )
    assert not marker.exists()


def test_the_malicious_files_are_malicious(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.load(saved(tmp_path / "a", _touching(marker)), weights_only=False)
    assert marker.exists()


def test_a_plain_pickle_is_not_run_either(tmp_path: Path) -> None:
    path, marker = tmp_path / "a", tmp_path / "ran"
    path.write_bytes(pickle.dumps({"model": _touching(marker)}))
    refusal(lambda: import_checkpoint(path, DEFINITION))
    assert not marker.exists()


def test_code_among_the_options_is_not_run(tmp_path: Path, state: State) -> None:
    marker = tmp_path / "ran"
    options = argparse.Namespace(lr=_touching(marker))
    message = refused(tmp_path / "a", {"model": state, "args": options})
    assert message.endswith(f"found a reference to eval; nothing in it was run; {SAVE}")
    assert not marker.exists()


def test_other_classes_are_refused_by_name(tmp_path: Path, state: State) -> None:
    message = refused(tmp_path / "a", {"model": state, "args": IPv4Address("127.0.0.1")})
    assert message.endswith(f"found a reference to ipaddress.IPv4Address; nothing in it was run; {SAVE}")
