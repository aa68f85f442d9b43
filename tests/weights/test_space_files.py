"""Search spaces as files: those of the package, one's own, and those inside a supernet's checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal
from support.small_data import SPACE

from resnas_deploy.weights.checkpoint import load, save, untrained
from resnas_deploy.weights.space_files import PACKAGED, packaged_spaces, space_key, space_named, supernet_space

TEXT = """
image_size = 16
patch_size = 2
stem_mid_widths = [4, 2]

[[stages]]
widths = [8, 6]
heads = [2, 1]
head_dims = [4, 2]
hidden = [16, 8]
blocks = 3
droppable = [1, 3]

[[stages]]
widths = [12, 10]
heads = [2, 1]
head_dims = [6]
hidden = [24, 12]
blocks = 1
"""


def written(folder, text=TEXT):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_file_is_a_space_of_its_name(tmp_path):
    space = space_named(written(tmp_path))
    assert (space.name, space.classes, space.image_size, space.stem_mid_widths) == ("mine", 1000, 16, (4, 2))
    assert space.stages[0].head_dims == (4, 2)
    assert space.stages[1].droppable == ()
    assert space_named(str(written(tmp_path))) == space
    assert space_named(space) is space


def test_those_of_the_package_are_files_like_any_other():
    assert [space.name for space in map(space_named, PACKAGED)] == list(PACKAGED)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("heads = [2, 1]", "head = [2, 1]", "stages[0] has the unknown field 'head'"),
        ("widths = [8, 6]\n", "", "stages[0].widths must be there, found none"),
        ("widths = [8, 6]", "widths = [8, 8]", "stages[0]: widths must be 1 to 256 different sizes"),
        ("widths = [8, 6]", "widths = [14]", "stages[1].widths must all be at least the largest of stages[0], 14"),
        ("hidden = [16, 8]", "hidden = []", "stages[0]: hidden must be 1 to 256 different sizes"),
        (
            "hidden = [16, 8]",
            "hidden = [16, 0]",
            "each of hidden must be an integer from 1 to 65536, found 0",
        ),
        ("droppable = [1, 3]", "droppable = [1, 2, 3]", "droppable must leave one of the 3 blocks or more"),
        ("droppable = [1, 3]", "droppable = [1, 4]", "droppable must be different positions from 1 to blocks = 3"),
        ("image_size = 16", "image_size = 18", "image_size must be a multiple of 4"),
        ("image_size = 16", "image_size = ", "must be a search space in TOML"),
        ("stem_mid_widths = [4, 2]", "stem_mid_widths = [0, 2]", "each of stem_mid_widths must be an integer"),
    ],
)
def test_what_is_no_space_is_one_line(tmp_path, before, after, said):
    path = written(tmp_path, TEXT.replace(before, after, 1))
    message = refusal(lambda: space_named(path))
    assert str(path) in message
    assert said in message


def test_a_supernet_keeps_its_space(tmp_path):
    space = space_named(written(tmp_path))
    supernet = replace(untrained(space.widest().full), space=space)
    save(supernet, tmp_path / "s.safetensors")
    assert supernet_space(load(tmp_path / "s.safetensors"), tmp_path) == space


def test_a_supernet_of_before_has_the_space_of_the_package_that_fits():
    known = packaged_spaces()["demo"].with_classes(7)
    assert supernet_space(untrained(known.widest().full), "s") == known
    message = refusal(lambda: supernet_space(untrained(SPACE.widest().full), "s"))
    assert "s must be a supernet that has its search space in it" in message


def test_a_space_that_the_tensors_do_not_fit_is_refused_by_the_first_tensor():
    supernet, (first, *others) = untrained(SPACE.widest().full), SPACE.stages
    other = replace(SPACE, stages=(replace(first, hidden=(20, 8)), *others))
    message = refusal(lambda: replace(supernet, space=other))
    assert "stage1.block1.mlp.fc1.weight must be (20, 8), found (16, 8)" in message
    heads = replace(SPACE, stages=(replace(first, heads=(4, 1), head_dims=(2,)), *others))
    assert "its heads are others" in refusal(lambda: replace(supernet, space=heads))


def test_the_key_is_a_name_only_where_the_choices_are_the_packages():
    tiny = packaged_spaces()["tiny"]
    assert space_key(tiny) == space_key(tiny.with_image_size(280)) == "tiny"
    narrower = replace(tiny, stages=(replace(tiny.stages[0], widths=(256, 224)), *tiny.stages[1:]))
    assert space_key(narrower) == narrower.fingerprint != tiny.fingerprint
    assert replace(tiny, name="other", classes=3).fingerprint == tiny.fingerprint
