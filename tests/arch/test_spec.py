"""ArchSpec: JSON and fingerprint are stable, and every network that cannot exist is refused with the field's name."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.networks import PLAIN, SMALL, arch_specs, subnets

from resnas_deploy.arch.elements import ReductionElement, elements
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import MAX_BLOCKS, MAX_DIMENSION, ArchSpec, Block, Stage, Subnet
from resnas_deploy.errors import BadInput

Json = Any
Path_ = tuple[str | int, ...]

FINGERPRINTS = {"tiny": "dfa8514e0fd1a2bb", "small": "916caf5e83f08d17", "medium": "36da7d24f1345407"}
BOUNDED = f"must be an integer from 1 to {MAX_DIMENSION}"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def _leaves(data: Json, path: Path_ = ()) -> list[Path_]:
    """The paths of all numbers."""
    if isinstance(data, int):
        return [path]
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    return [leaf for key, value in pairs for leaf in _leaves(value, (*path, key))]


def _containers(data: Json, path: Path_ = ()) -> list[Path_]:
    """The paths of all objects and lists, the whole included."""
    if isinstance(data, int):
        return []
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    return [path, *(found for key, value in pairs for found in _containers(value, (*path, key)))]


def _at(data: Json, path: Path_) -> Json:
    for key in path:
        data = data[key]
    return data


def _with(path: Path_, value: object) -> Json:
    """The JSON of SMALL with another value at `path`."""
    data = copy.deepcopy(SMALL.to_json())
    if not path:
        return value
    _at(data, path[:-1])[path[-1]] = value
    return data


def _name(path: Path_) -> str:
    """How a message names the field: `stages[1].blocks[0].heads`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


LEAVES = _leaves(SMALL.to_json())


def test_the_leaves_are_all_numbers_of_a_spec() -> None:
    assert len(LEAVES) == 3 + 5 * 3 + 4


@given(arch_specs())
def test_json_round_trip(arch: ArchSpec) -> None:
    assert ArchSpec.from_json(json.loads(json.dumps(arch.to_json()))) == arch


def test_fields_but_the_stages_have_defaults() -> None:
    arch = ArchSpec.from_json({"stages": PUBLISHED["small"].arch.to_json()["stages"]})
    assert arch == PUBLISHED["small"].arch


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_published_fingerprints_never_change(name: str) -> None:
    assert PUBLISHED[name].arch.fingerprint == FINGERPRINTS[name]


@given(arch_specs(), arch_specs())
def test_fingerprints_are_equal_where_networks_are(one: ArchSpec, other: ArchSpec) -> None:
    assert (one.fingerprint == other.fingerprint) == (one == other)
    assert ArchSpec.from_json(one.to_json()).fingerprint == one.fingerprint


@pytest.mark.parametrize("path", LEAVES, ids=_name)
def test_any_changed_field_changes_the_fingerprint(path: Path_) -> None:
    changed = {"image_size": 48, "patch_size": 2}.get(_name(path), _at(SMALL.to_json(), path) + 1)
    arch = ArchSpec.from_json(_with(path, changed))
    assert arch != SMALL
    assert arch.fingerprint != SMALL.fingerprint


def test_the_order_of_blocks_and_where_they_are_change_the_fingerprint() -> None:
    first, second, third = SMALL.stages
    swapped = replace(SMALL, stages=(replace(first, blocks=first.blocks[::-1]), second, third))
    moved = replace(
        SMALL, stages=(Stage(6, first.blocks[:1]), Stage(9, (first.blocks[1], *second.blocks)), SMALL.stages[2])
    )
    assert len({SMALL.fingerprint, swapped.fingerprint, moved.fingerprint}) == 3


@pytest.mark.parametrize(
    "value", [0, -1, -(2**40), MAX_DIMENSION + 1, 10**30, 1.5, 2.0, 0.0, float("nan"), "3", "", True, False, None, {}]
)
def test_a_field_that_is_no_positive_integer_is_refused(value: object) -> None:
    for path in LEAVES:
        if path == ("stem_mid_width",) and value == 0 and type(value) is int:
            continue  # the one number that may be 0: the plain stem
        message = refusal(lambda path=path: ArchSpec.from_json(_with(path, value)))
        assert message.startswith(_name(path))
        assert BOUNDED in message
        assert message.endswith(f"found {value!r}")


@pytest.mark.parametrize("path", LEAVES, ids=_name)
def test_values_too_large_to_show_are_refused(path: Path_) -> None:
    nested: Json = {}
    for _ in range(100_000):
        nested = {"": nested}
    for value in (10**5000, nested, [[1]], "x" * 10**6):
        message = refusal(lambda value=value: ArchSpec.from_json(_with(path, value)))
        assert message.startswith(_name(path))
        assert len(message) < 250


@pytest.mark.parametrize("path", _containers(SMALL.to_json()), ids=_name)
@pytest.mark.parametrize("value", [None, 3, "stages", True, 1.5])
def test_an_object_or_list_that_is_none_is_refused(path: Path_, value: object) -> None:
    kind = "a list" if isinstance(_at(SMALL.to_json(), path), list) else "a JSON object"
    message = refusal(lambda: ArchSpec.from_json(_with(path, value)))
    assert message.startswith(_name(path) or "the architecture")
    assert f"must be {kind}" in message
    assert message.endswith(f"found {value!r}")


@pytest.mark.parametrize("path", _containers(SMALL.to_json()), ids=_name)
def test_missing_and_extra_fields_are_refused(path: Path_) -> None:
    whole = _at(SMALL.to_json(), path)
    if isinstance(whole, list):
        return
    where = _name(path) or "the architecture"
    for field in whole:
        if not path and field != "stages":
            continue  # has a default
        rest = {name: value for name, value in whole.items() if name != field}
        message = refusal(lambda rest=rest: ArchSpec.from_json(_with(path, rest)))
        assert message.startswith(f"{where} must have the field '{field}', found [")
    for extra in ("depth", "line\nbreak", "x" * 10**6):
        message = refusal(lambda extra=extra: ArchSpec.from_json(_with(path, {**whole, extra: 1})))
        assert message.startswith(f"{where} has the unknown field {extra!r}"[:60])
        assert ", ".join(list(whole)[1:]) in message
        assert len(message) < 250


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_another_number_of_stages_is_refused(count: int) -> None:
    stages = (SMALL.to_json()["stages"] * 34)[:count]
    said = f"stages must be 2 to 4 stages, found {count}"
    assert refusal(lambda: ArchSpec.from_json({"stages": stages})) == said
    assert refusal(lambda: ArchSpec((Stage(4, (Block(1, 1, 1),)),) * count)) == said


@pytest.mark.parametrize("count", [2, 3, 4])
def test_two_to_four_stages_halve_the_grid_each(count: int) -> None:
    arch = ArchSpec((Stage(4, (Block(1, 1, 1),)),) * count, image_size=112)
    assert [arch.side(stage) for stage in range(count)] == [8, 4, 2, 1][:count]
    assert arch.last_side == [8, 4, 2, 1][count - 1]
    assert arch.last_cell == 14 * 2 ** (count - 1)
    assert ArchSpec.from_json(arch.to_json()) == arch


@given(st.integers(1, 200), st.integers(1, 10))
def test_an_odd_grid_is_halved_and_rounded_up_again_and_again(side: int, patch: int) -> None:
    stages = (Stage(4, (Block(1, 1, 1),)),) * 4
    arch = ArchSpec(stages, image_size=side * patch, patch_size=patch, stem_mid_width=0)
    for stage in range(4):
        assert arch.side(stage) == side
        side = math.ceil(side / 2)
    assert arch.last_side == math.ceil(arch.image_size / arch.last_cell)
    reductions = [element for element in elements(arch) if isinstance(element, ReductionElement)]
    assert [(r.side, r.out_side) for r in reductions] == [(arch.side(n), arch.side(n + 1)) for n in range(3)]


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("count", [0, MAX_BLOCKS + 1])
def test_no_blocks_or_too_many_are_refused(stage: int, count: int) -> None:
    data = _with(("stages", stage, "blocks"), [{"heads": 1, "head_dim": 1, "hidden": 1}] * count)
    assert refusal(lambda: ArchSpec.from_json(data)) == (
        f"stages[{stage}].blocks must be 1 to {MAX_BLOCKS} blocks, found {count}"
    )


@pytest.mark.parametrize(("stage", "width", "least"), [(1, 5, 6), (2, 8, 9)])
def test_a_narrower_next_stage_is_refused(stage: int, width: int, least: int) -> None:
    message = refusal(lambda: ArchSpec.from_json(_with(("stages", stage, "width"), width)))
    assert message.startswith(f"stages[{stage}].width must be at least stages[{stage - 1}].width = {least} ")
    assert message.endswith(f"found {width}")


def test_equal_widths_are_a_network() -> None:
    stages = tuple(replace(stage, width=7) for stage in SMALL.stages)
    assert [stage.width for stage in replace(SMALL, stages=stages).stages] == [7, 7, 7]


@pytest.mark.parametrize(
    ("size", "nearest"), [(1, 14), (20, 14), (57, 56), (64, 70), (216, 210), (225, 224), (250, 252)]
)
def test_an_image_size_that_patches_do_not_fill_is_refused(size: int, nearest: int) -> None:
    message = refusal(lambda: PUBLISHED["tiny"].arch.with_image_size(size))
    assert message == f"image_size must be a multiple of patch_size = 14, found {size}; the nearest is {nearest}"


def test_an_odd_patch_is_refused_with_the_convolutional_stem_alone() -> None:
    message = refusal(lambda: replace(SMALL, patch_size=3, image_size=24))
    assert message.startswith("patch_size must be even")
    assert message.endswith("found 3")
    assert PLAIN.patch_size == 3


def test_another_image_size_changes_nothing_else() -> None:
    arch = SMALL.with_image_size(64)
    assert arch.image_size == 64
    assert replace(arch, image_size=SMALL.image_size) == SMALL
    assert [arch.side(stage) for stage in range(3)] == [16, 8, 4]


@given(json_values)
def test_any_json_gives_a_network_or_one_line(data: Json) -> None:
    try:
        arch = ArchSpec.from_json(data)
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert ArchSpec.from_json(arch.to_json()) == arch


@given(st.sampled_from([*LEAVES, *_containers(SMALL.to_json())]), json_values | st.integers(0, 100))
def test_any_json_in_place_of_a_field_gives_a_network_or_one_line(path: Path_, value: Json) -> None:
    try:
        arch = ArchSpec.from_json(_with(path, value))
    except BadInput as error:
        assert str(error).isprintable()
    else:
        assert ArchSpec.from_json(arch.to_json()) == arch


@given(subnets())
def test_a_subnet_keeps_the_marked_blocks(subnet: Subnet) -> None:
    for stage, full, flags in zip(subnet.arch.stages, subnet.full.stages, subnet.kept, strict=True):
        assert stage.width == full.width
        assert stage.blocks == tuple(full.blocks[i] for i, keep in enumerate(flags) if keep)
    assert replace(subnet.arch, stages=subnet.full.stages) == subnet.full
    assert Subnet.whole(subnet.full).arch == subnet.full


def test_flags_that_do_not_fit_are_refused() -> None:
    for kept in ((), ((True, True), (True,)), ((True,), (True,), (True, True))):
        assert "one flag for each block" in refusal(lambda kept=kept: Subnet(SMALL, kept))
    message = refusal(lambda: Subnet(SMALL, ((True, False), (False,), (True, True))))
    assert message.startswith("stage 2 must keep at least one block")
