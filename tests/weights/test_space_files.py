"""Search spaces as files: those of the package, one's own, and those inside a supernet's checkpoint."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal
from support.places import ROOT
from support.small_data import SPACE

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.files.records import forms
from resnas_deploy.weights.checkpoint import load, save, untrained
from resnas_deploy.weights.space_files import PACKAGED, naming, packaged_spaces, space_key, space_named, supernet_space
from resnas_deploy.weights.space_text import parse_space, space_text

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
ONE_STAGE = TEXT[: TEXT.rindex("[[stages]]")]


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
        (
            "heads = [2, 1]",
            "head = [2, 1]",
            "line 8: stages[0] has the unknown key 'head'; known are widths, heads, "
            "head_dims, hidden, blocks, droppable, mixers; is heads meant?",
        ),
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
        (
            "image_size = 16",
            "image_size = 17",
            "image_size must be a multiple of patch_size = 2, found 17; the nearest",
        ),
        ("image_size = 16", "image_size = ", "must be a search space in TOML, found: Invalid value (at line 2, column"),
        (
            "heads = [2, 1]",
            "heads = 2",
            "line 8: stages[0].heads must be a list of numbers, found 2; write heads = [2]",
        ),
        (
            "heads = [2, 1]",
            "mixers = 7",
            "line 8: stages[0].mixers must be a list of texts, found 7\n",
        ),
        (
            "heads = [2, 1]",
            "mixers = 'window7'",
            "line 8: stages[0].mixers must be a list of texts, found 'window7'; write mixers = [\"window7\"]",
        ),
        ("heads = [2, 1]", "heads = 'two'", "line 8: stages[0].heads must be a list of numbers, found 'two'\n"),
        (
            "blocks = 1",
            "blocks = [1]",
            "line 19: stages[1].blocks must be one value, found a list of 1; write blocks = 1",
        ),
        ("blocks = 1", "blocks = 'a'", "line 19: stages[1].blocks must be an integer, found 'a'"),
        ("blocks = 1", "blocks = true", "line 19: stages[1].blocks must be an integer, found True"),
        ("hidden = [24, 12]", "hidden = [24, '12']", "line 18: stages[1].hidden[1] must be an integer, found '12'"),
        ("[[stages]]", "[stages]", "(at line 14, column 9); each stage is begun by [[stages]]"),
        ("[[stages]]", "[[stage]]", "line 6: the space has the unknown key 'stage'; known are name, stages, "),
        ("blocks = 1", "image_size = 16", "line 19: image_size must stand before the first [[stages]], found it below"),
        ("image_size = 16", "blocks = 1", "line 2: blocks must stand below a [[stages]], found it before the first"),
        ("image_size = 16", "image_size = [16]", "line 2: image_size must be one value, found a list of 1; write"),
        ("patch_size = 2", "patch_sizes = 2", "line 3: the space has the unknown key 'patch_sizes'; known are name, "),
        ("patch_size = 2", "name = 3", "line 3: name must be a text, found 3"),
        ("stem_mid_widths = [4, 2]", "stem_mid_widths = [0, 2]", "each of stem_mid_widths must be an integer"),
    ],
)
def test_what_is_no_space_is_one_line(tmp_path, before, after, said):
    path = written(tmp_path, TEXT.replace(before, after, 1))
    message = refusal(lambda: space_named(path))
    assert str(path) in message
    assert said in f"{message}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there must be stages, each below a line [[stages]], found none"),
        ("stages = 3", "line 1: there must be stages, each below a line [[stages]], found 3"),
        ("stages = [3]", "line 1: there must be stages, each below a line [[stages]], found a list of 1"),
        (TEXT[: TEXT.rindex("[[stages]]")], "stages must be 2 to 4 stages, found 1"),
        (
            TEXT[: TEXT.rindex("[[stages]]")].replace("[[stages]]", "[stages]"),
            "a stage must be written below [[stages]]",
        ),
        ("[" * 5000, "must be a search space in TOML"),
        ("image_size = " + "1" * 5000, "must be a search space in TOML"),
    ],
)
def test_a_file_without_its_stages_is_one_line(tmp_path, text, said):
    assert said in refusal(lambda: space_named(written(tmp_path, text)))


@pytest.mark.parametrize("space", [*packaged_spaces().values(), SPACE], ids=lambda space: space.name)
def test_a_space_is_written_as_a_file_that_is_read_as_the_same(space):
    assert parse_space(space_text(space), "file") == space
    quoted = replace(space, name='a "name" \\ of mine')
    assert parse_space(space_text(quoted), "file") == quoted


def test_the_page_has_a_file_that_can_be_read_and_every_key():
    page = (ROOT / "docs" / "spaces.md").read_text()
    space = parse_space(page.split("```toml\n")[1].split("```")[0], "example.toml")
    assert (space.name, len(space.stages), space.stages[1].droppable) == ("example", 2, ())
    keys = {*forms(SearchSpace), *forms(StageSpace)} - {"stages"}
    assert [key for key in keys if f"| `{key}` | " not in page] == []


def test_a_supernet_keeps_its_space(tmp_path):
    space = space_named(written(tmp_path))
    supernet = replace(untrained(space.widest().full), space=space)
    save(supernet, tmp_path / "s.safetensors")
    assert supernet_space(load(tmp_path / "s.safetensors"), tmp_path) == space
    assert space_named(tmp_path / "s.safetensors") == space
    save(untrained(space.widest().full), tmp_path / "without.safetensors")
    message = refusal(lambda: space_named(str(tmp_path / "without.safetensors")))
    assert "without.safetensors must be a supernet that has its search space in it" in message


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


def test_a_space_is_named_so_that_it_is_found():
    tiny = packaged_spaces()["tiny"]
    assert naming(tiny) == {"space": "tiny"}
    assert naming(tiny.with_image_size(280)) == {"space": "tiny", "image_size": 280}
    assert naming(SPACE) == {"space": "little.toml"}
    assert naming(replace(SPACE, name="tiny")) == {"space": "tiny.toml"}


def test_the_key_is_a_name_only_where_the_choices_are_the_packages():
    tiny = packaged_spaces()["tiny"]
    assert space_key(tiny) == space_key(tiny.with_image_size(280)) == "tiny"
    narrower = replace(tiny, stages=(replace(tiny.stages[0], widths=(256, 224)), *tiny.stages[1:]))
    assert space_key(narrower) == narrower.fingerprint != tiny.fingerprint
    assert replace(tiny, name="other", classes=3).fingerprint == tiny.fingerprint
