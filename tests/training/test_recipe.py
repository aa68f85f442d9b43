"""Recipes as files and as settings."""

from __future__ import annotations

import re
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.small_data import SPACE, Stripes, write_folder

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import learning_rate
from resnas_deploy.training.recipe import KINDS, NOT_OF_THE_WEIGHTS, RECIPES, Recipe, read_recipe
from resnas_deploy.training.run import TrainingOptions, scratch_run, supernet_run, usual_recipe, weights_run
from resnas_deploy.weights.checkpoint import Provenance, Task
from resnas_deploy.weights.space_files import packaged_spaces

LEAST = "epochs = 2\nbatch = 8\ngroup = 4\nlearning_rate = 0.1\nwarm_up_epochs = 1\n"


def read(tmp_path, text, kind="subnet"):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return read_recipe(str(path), kind)


ONLY_MEDIUM = "{} must have the table [finetune], found [supernet], [subnet]; take the recipe medium, whose"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECIPES)
def test_built_in_recipes_are_whole(name, kind):
    if kind == "finetune" and name in ("tiny", "small"):  # were not published at a high resolution
        assert ONLY_MEDIUM.format(name) in refusal(lambda: read_recipe(name, kind))
        return
    recipe = read_recipe(name, kind)
    assert recipe.groups >= 1
    assert recipe.groups % 8 == 0 or name == "demo"  # eight processes share them out


def test_the_papers_hyperparameters():
    recipe = read_recipe("small", "supernet")
    assert (recipe.epochs, recipe.batch, recipe.group, recipe.opening_epochs) == (120, 1024, 64, 30)
    assert recipe.peak_rate == pytest.approx(5e-4 * 1024 / 512)
    assert (recipe.drop_path, read_recipe("tiny", "supernet").drop_path) == (0.3, 0.2)
    assert read_recipe("medium", "finetune").peak_rate == pytest.approx(2.5e-6)
    for name in ("tiny", "small", "medium"):
        assert read_recipe(name, "supernet").clip_norm == 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_is_trained_by_the_recipe_of_its_name_or_space(name):
    assert usual_recipe(replace(PUBLISHED[name].arch, classes=10, image_size=280)) == name
    space = packaged_spaces()["tiny" if name == "tiny" else "small"]
    assert usual_recipe(space.sample(np.random.default_rng(0)).arch) == space.name


def test_the_recipe_where_none_is_named(tmp_path):
    data = write_folder(tmp_path / "data", train=2)
    supernet, subnet, finetune, inherited = (
        TrainingOptions(tmp_path / name, str(data), settings={"held_out": 0}) for name in "abcd"
    )
    task = Task(tuple(sorted(Stripes().class_names)), Preprocessing(16, 16))
    weights = TrainedNetwork(SPACE.widest().full).checkpoint(Provenance(True, ()), task)
    tuned = weights_run(weights, "finetune", replace(finetune, settings={"image_size": 32}))
    for found, name, kind, settings in (
        (supernet_run(packaged_spaces()["tiny"], supernet), "tiny", "supernet", supernet.settings),
        (scratch_run(PUBLISHED["medium"].arch, subnet), "medium", "subnet", {}),
        (weights_run(weights, "subnet", inherited), "small", "subnet", {}),  # of no space of the paper's
        (tuned, "medium", "finetune", {"image_size": 32}),
    ):
        assert found.recipe == read_recipe(name, kind).override(settings)


def test_a_run_may_go_on_with_other_values_of_what_the_weights_do_not_depend_on():
    recipe = read_recipe("demo", "supernet")
    assert recipe.override({"ema": 0.5}).identity != recipe.identity
    for name in NOT_OF_THE_WEIGHTS & asdict(recipe).keys():
        value = getattr(recipe, name)
        assert recipe.override({name: not value if isinstance(value, bool) else value + 1}).identity == recipe.identity


def test_a_recipe_survives_as_a_file(tmp_path):
    recipe = read_recipe("demo", "supernet")
    assert read(tmp_path, recipe.to_toml()) == recipe


def test_a_table_adds_to_what_is_shared(tmp_path):
    text = LEAST + "[subnet]\nepochs = 7\n[finetune]\nepochs = 9\n"
    assert read(tmp_path, text).epochs == 7
    assert read(tmp_path, text, "finetune").epochs == 9
    assert "must have the table [supernet], found [subnet], [finetune]" in refusal(
        lambda: read(tmp_path, text, "supernet")
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epochs = 1", "a recipe must have the key 'batch'"),
        (LEAST + "lr = 1", "a recipe has the unknown key 'lr'; known are epochs, batch"),
        (LEAST + "flip = 1", "flip must be true or false, found 1"),
        (LEAST + "ema = 'x'", "ema must be a number, found 'x'"),
        (LEAST + "ema = 1", "ema must be from 0 to below 1, found 1.0"),
        (LEAST + "randaugment = 30", "randaugment must be from 0 to 10, found 30.0"),
        (LEAST + "crop = 0", "crop must be above 0 and at most 1, found 0.0"),
        (LEAST + "precision = 'int8'", "precision must be one of fp32, fp16, bf16, found 'int8'"),
        (LEAST.replace("group = 4", "group = 3"), "batch must be a multiple of group = 3, found 8"),
        (LEAST.replace("epochs = 2", "epochs = 0"), "epochs must be from 1 to 1000000, found 0"),
        (LEAST + "weight_decay = nan", "weight_decay must be from 0 to 100000, found nan"),
        (LEAST + "[other]\n", "the tables of a recipe must be supernet, subnet, finetune, found [other]"),
        ("epochs =", "a recipe must be TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, expected):
    assert expected in refusal(lambda: read(tmp_path, text))


def test_a_missing_file_is_named(tmp_path):
    assert "a recipe must be tiny, small, medium, demo or a file" in refusal(lambda: read_recipe("nothing", "subnet"))


def test_settings_override(tmp_path):
    recipe = read(tmp_path, LEAST)
    changed = recipe.override(["epochs=5", "precision=bf16", "mixing=false", "ema = 0.5"])
    assert (changed.epochs, changed.precision, changed.mixing, changed.ema) == (5, "bf16", False, 0.5)
    for setting, expected in (
        ("epochs", "a setting must be KEY=VALUE, found 'epochs'"),
        ("speed=1", "a setting has the unknown key 'speed'"),
        ("epochs=many", "epochs must be a whole number, found 'many'"),
        ("batch=9", "batch must be a multiple of group = 4, found 9"),
    ):
        assert expected in refusal(lambda one=setting: recipe.override([one]))


@given(st.text(max_size=60))
def test_no_text_does_more_than_being_refused(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    refusal(lambda: read_recipe(str(path), "subnet"))


def test_the_rate_rises_then_falls_as_a_cosine():
    recipe = Recipe(epochs=10, batch=512, group=1, learning_rate=1.0, warm_up_epochs=2, final_rate=0.1, first_rate=0.0)
    rates = [learning_rate(recipe, step, 10) for step in range(101)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(0.5)
    assert rates[20] == pytest.approx(1.0)
    assert rates[60] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_a_final_rate_above_the_peak_makes_the_rate_rise_to_the_end():
    recipe = read_recipe("medium", "finetune")
    rates = [learning_rate(recipe, step, 10) for step in range(301)]
    assert rates == sorted(rates)
    assert (rates[0], rates[50], rates[300]) == pytest.approx((1e-6, 2.5e-6, 5e-6))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("epochs=1e400", "epochs must be a whole number, found inf"),
        ("epochs=" + "9" * 30, "epochs must be from 1 to 1000000, found 99999"),
        ("epochs=" + "9" * 5000, "epochs must be a whole number, found '99999"),
        ("epochs=0x" + "f" * 5000, "epochs must be from 1 to 1000000, found int data too large to show"),
        ("epochs=\uff11", "epochs must be a whole number, found '\uff11'"),
        ("epochs=1,5", "epochs must be a whole number, found '1,5'"),
        ("epochs=1\nbatch=2", "epochs must be a whole number, found '1\\nbatch=2'"),
        ("epochs=" + "[" * 5000, "epochs must be a whole number"),
        ("batch=1000000000000", "batch must be from 1 to 65536"),
        ("group=0", "group must be from 1 to 65536, found 0"),
        ("held_out=-1", "held_out must be from 0 to 1000000, found -1"),
        ("image_size=2147483648", "image_size must be from 0 to 2048"),
        ("learning_rate=nan", "learning_rate must be from 0 to 100000, found nan"),
        ("learning_rate=inf", "learning_rate must be from 0 to 100000, found inf"),
        ("learning_rate=" + "9" * 400, "learning_rate must be a number, found 9"),
        ("ema=nan", "ema must be from 0 to below 1, found nan"),
        ("crop=nan", "crop must be above 0 and at most 1, found nan"),
        ("erasing=-inf", "erasing must be from 0 to 1, found -inf"),
        ("precision=" + "x" * 10**6, "precision must be one of fp32, fp16, bf16, found 'xxx"),
        ("x" * 10**6 + "=1", "a setting has the unknown key 'xxx"),
        ("compile=1979-05-27", "compile must be true or false, found datetime.date"),
    ],
    ids=lambda text: text[:30],
)
def test_settings_that_are_absurd(tmp_path, setting, said):
    message = refusal(lambda: read(tmp_path, LEAST).override([setting]))
    assert said in message
    assert len(message) < 600


OUT_OF_RANGE = {
    "int": ("-1", "1000000000000"),
    "float": ("-0.5", "1e9", "nan", "inf", "-inf"),
    "bool": ("2", "'yes'"),
    "str": ("'nothing'",),
}
EVERY_KEY = [
    (field.name, value) for field in fields(Recipe) for value in OUT_OF_RANGE.get(str(field.type), OUT_OF_RANGE["str"])
]


@pytest.mark.parametrize(("key", "value"), EVERY_KEY)
def test_every_key_has_a_range_and_says_it_in_a_line(tmp_path, key, value):
    message = refusal(lambda: read(tmp_path, LEAST).override([f"{key}={value}"]))
    assert re.match(rf"{key} must be .+, found ", message), message
    assert "\n" not in message


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin"])
def test_a_device_is_no_recipe(path):
    assert "must be a file, found a pipe or a device" in refusal(lambda: read_recipe(path, "subnet"))


def test_a_recipe_as_editors_of_windows_write_it(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    assert read_recipe(str(path), "subnet").epochs == 2
