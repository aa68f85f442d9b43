"""Checkpoints: the same bytes for the same weights, and whole or not at all."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import PLAIN, SMALL, arch_specs

from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.errors import StorageError
from resnas_deploy.files.records import from_json
from resnas_deploy.weights import checkpoint as module
from resnas_deploy.weights.checkpoint import Checkpoint, MeasuredAccuracy, Provenance, load, save, untrained
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.schema import patch_head_shapes, tensor_shapes
from resnas_deploy.weights.slicing import slice_subnet

WEIGHTS = untrained(SMALL, seed=1)
HISTORY = Provenance(True, ("imported from a.pth.tar", 'sliced: é, 猫, "quotes" and\nlines'))


def _equal(one: Checkpoint, other: Checkpoint) -> bool:
    return (
        (one.arch, one.provenance) == (other.arch, other.provenance)
        and set(one.tensors) == set(other.tensors)
        and all(one.tensors[name].tobytes() == other.tensors[name].tobytes() for name in one.tensors)
    )


@pytest.mark.parametrize("arch", [SMALL, PLAIN], ids=["convolutional", "plain"])
def test_round_trip_keeps_weights_architecture_and_history(tmp_path: Path, arch: ArchSpec) -> None:
    saved = replace(untrained(arch), provenance=HISTORY)
    save(saved, tmp_path / "a.safetensors")
    found = load(tmp_path / "a.safetensors")
    assert _equal(found, saved)
    assert found.digest == saved.digest
    assert found.provenance == HISTORY


@given(arch=arch_specs(), seed=st.integers(0, 3))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_of_any_network(tmp_path: Path, arch: ArchSpec, seed: int) -> None:
    saved = untrained(arch, seed)
    save(saved, tmp_path / "a.safetensors")
    assert _equal(load(tmp_path / "a.safetensors"), saved)


def test_the_patch_head_is_kept(tmp_path: Path) -> None:
    heads = {name: np.full(shape, 0.5, np.float32) for name, shape in patch_head_shapes(SMALL).items()}
    saved = replace(WEIGHTS, tensors={**WEIGHTS.tensors, **heads})
    save(saved, tmp_path / "a.safetensors")
    assert _equal(load(tmp_path / "a.safetensors"), saved)


def test_the_accuracy_that_training_measured_is_kept_and_of_these_weights_alone(tmp_path: Path) -> None:
    saved = replace(WEIGHTS, accuracy=MeasuredAccuracy("flowers", 2000, 0.8945))
    save(saved, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.safetensors").accuracy == saved.accuracy
    assert resize(saved, saved.arch.image_size).accuracy == saved.accuracy
    assert resize(saved, 2 * saved.arch.image_size).accuracy is None
    assert slice_subnet(saved, Subnet.whole(saved.arch)).accuracy is None
    assert saved.digest == WEIGHTS.digest
    save(WEIGHTS, tmp_path / "b.safetensors")  # as one of before is
    assert load(tmp_path / "b.safetensors").accuracy is None


@pytest.mark.parametrize(
    "accuracy",
    [{}, None, [], {"data": "a", "pictures": 1}, *({"data": "a", "pictures": 5, "top1": 0.5} | change for change in (
        {"data": 1}, {"pictures": 0}, {"pictures": 1.5}, {"pictures": True}, {"top1": 1.5}, {"top1": -0.1},
        {"top1": "1"}, {"top1": float("nan")}, {"more": 1},
    ))],
)  # fmt: skip
def test_what_is_no_accuracy_is_refused(accuracy: object) -> None:
    assert refusal(lambda: from_json(MeasuredAccuracy, accuracy, "accuracy")).startswith("accuracy")


def test_the_same_checkpoint_gives_the_same_bytes(tmp_path: Path) -> None:
    other = replace(WEIGHTS, tensors=MappingProxyType(dict(reversed(WEIGHTS.tensors.items()))))
    views = {name: np.repeat(tensor[..., None], 2, axis=-1)[..., 0] for name, tensor in WEIGHTS.tensors.items()}
    assert not all(view.flags.c_contiguous for view in views.values())
    for number, saved in enumerate((WEIGHTS, WEIGHTS, other, replace(WEIGHTS, tensors=views), untrained(SMALL, 1))):
        save(saved, tmp_path / f"{number}")
    save(load(tmp_path / "0"), tmp_path / "5")
    assert len({(tmp_path / f"{number}").read_bytes() for number in range(6)}) == 1


def test_the_file_is_safetensors_with_one_metadata_key(tmp_path: Path) -> None:
    save(WEIGHTS, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    metadata = header.pop("__metadata__")
    assert list(metadata) == ["resnas"]
    assert {name: tuple(entry["shape"]) for name, entry in header.items()} == tensor_shapes(SMALL)
    assert json.loads(metadata["resnas"]) == {
        "schema": 1,
        "arch": SMALL.to_json(),
        "provenance": {"trained": False, "history": ["untrained: random weights of seed 1"]},
    }


def test_the_file_can_be_read_by_all_as_others_are(tmp_path: Path) -> None:
    save(WEIGHTS, tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_digest_and_size() -> None:
    assert WEIGHTS.digest == untrained(SMALL, seed=1).digest
    assert WEIGHTS.digest == replace(WEIGHTS, provenance=HISTORY).digest  # of the weights alone
    assert WEIGHTS.nbytes == 4 * sum(tensor.size for tensor in WEIGHTS.tensors.values())


def test_any_changed_value_changes_the_digest() -> None:
    digests = {WEIGHTS.digest}
    for name, tensor in WEIGHTS.tensors.items():
        for index in (0, -1):
            changed = tensor.copy()
            changed.flat[index] = np.nextafter(changed.flat[index], np.float32(2))
            digests.add(replace(WEIGHTS, tensors={**WEIGHTS.tensors, name: changed}).digest)
    expected = 1 + sum(2 if tensor.size > 1 else 1 for tensor in WEIGHTS.tensors.values())
    assert len(digests) == expected


def test_equal_values_under_exchanged_names_change_the_digest() -> None:
    one, other = "stage1.block1.norm1.bias", "stage1.block1.norm2.bias"
    tensors = {**WEIGHTS.tensors, one: WEIGHTS.tensors[other], other: WEIGHTS.tensors[one]}
    assert Checkpoint(SMALL, tensors, HISTORY).digest != WEIGHTS.digest


def test_equal_bytes_in_other_shapes_change_the_digest() -> None:
    first, *others = SMALL.stages
    swapped = replace(SMALL, stages=(replace(first, blocks=first.blocks[::-1]), *others))
    ones = [
        Checkpoint(arch, {name: np.ones(shape, np.float32) for name, shape in tensor_shapes(arch).items()}, HISTORY)
        for arch in (SMALL, swapped)
    ]
    assert ones[0].nbytes == ones[1].nbytes
    assert ones[0].digest != ones[1].digest


def test_untrained_weights_are_seeded_and_say_so() -> None:
    assert untrained(SMALL, 1).digest != untrained(SMALL, 2).digest
    assert untrained(SMALL, 7).provenance == Provenance(False, ("untrained: random weights of seed 7",))
    assert all(tensor.std() > 0 for tensor in untrained(SMALL).tensors.values() if tensor.size > 1)


def test_history_grows_a_step_at_a_time() -> None:
    assert HISTORY.then("resized") == Provenance(True, (*HISTORY.history, "resized"))


# --- writing ---


def _raise(error: BaseException) -> Callable[..., None]:
    def save_half(_tensors: object, _metadata: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise error

    return save_half


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.safetensors"
    save(WEIGHTS, path)
    before = path.read_bytes()
    monkeypatch.setattr(module, "write_tensors", _raise(error))
    expected = StorageError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected) as caught:
        save(untrained(SMALL, 2), path)
    if expected is StorageError:
        assert str(caught.value).isprintable()
        assert str(caught.value).startswith(f"{path} cannot be written: ")
    with pytest.raises(expected):
        save(untrained(SMALL, 2), tmp_path / "new.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_seeded_weights_are_drawn_in_pieces_that_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an odd number of values too: two come of one number of the generator."""
    whole = untrained(SMALL, 3)
    monkeypatch.setattr(module, "_CHUNK", 7)
    pieces = untrained(SMALL, 3)
    assert pieces.digest == whole.digest
    rng = np.random.default_rng(3)
    for name, tensor in whole.tensors.items():  # as it is documented: uniform, a draw a tensor, in this order
        drawn = rng.random(tensor.shape, dtype=np.float32)
        assert np.corrcoef(drawn.ravel(), tensor.ravel())[0, 1] > 0.9999 if tensor.size > 1 else True, name


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "absent" / "a", tmp_path, Path("/proc/a"), tmp_path / ("a" * 300)):
        assert refusal(lambda path=path: save(WEIGHTS, path)).startswith(f"{path} cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_a_second_save_replaces_the_first(tmp_path: Path) -> None:
    for seed in (1, 2):
        save(untrained(SMALL, seed), tmp_path / "a")
    assert load(tmp_path / "a").digest == untrained(SMALL, 2).digest
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
