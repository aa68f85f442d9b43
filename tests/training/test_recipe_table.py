"""The table of the paper's recipe in docs/training.md holds every number of the recipes, as they are."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from support.places import ROOT

from resnas_deploy.searching.costs import WINDOW
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.training.erasing import AREAS, ASPECTS
from resnas_deploy.training.mixing import MIXUP_ALPHA
from resnas_deploy.training.network import INITIAL_DEVIATION
from resnas_deploy.training.recipe import KINDS, NOT_OF_THE_WEIGHTS, Recipe, read_recipe

PAPERS = ("tiny", "small", "medium")
RUNS = [(name, kind) for name in PAPERS for kind in KINDS if kind != "finetune" or name == "medium"]


def rows():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    table = "| what |" + text.partition("\n| what |")[2].partition("\n\n")[0]
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
    assert len(found) > 10
    return found[2:]


def said(row, name, kind):
    """What a row says of a recipe's table: what stands alone, or what stands after its name, the last one of them."""
    found = None
    for part in row[2].split("; "):
        *whose, value = part.replace(",", "").split()
        if not whose or {name, kind} & set(whose):
            found = value
    return found


def by_key():
    return {key: row for row in rows() for key in re.findall("`([a-z0-9_]+)`", row[0])}


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_every_key_of_the_recipes_is_in_the_table_as_it_is(name, kind):
    table, recipe = by_key(), read_recipe(name, kind)
    for key in {field.name for field in fields(Recipe)} - (NOT_OF_THE_WEIGHTS - table.keys()):
        assert key in table, f"docs/training.md must have a row of `{key}`"
        value = said(table[key], name, kind)
        assert recipe.override([f"{key}={value}"]) == recipe, f"{key} of {name}'s {kind}: the table says {value}"


def test_every_number_of_the_evolution_is_in_the_table_as_it_is():
    table = by_key()
    for field in fields(Evolution):
        if field.name != "pareto":
            assert float(table[field.name][2]) == field.default, field.name


@pytest.mark.parametrize(
    ("what", "number"),
    [
        ("first weights", f"truncated normal {INITIAL_DEVIATION}"),
        ("`erasing`", f"area {100 * AREAS[0]:.0f} to {AREAS[1]:.0%}, aspect {ASPECTS[0]} to 1 / {1 / ASPECTS[1]:.1f}"),
        ("Mixup", f"for each image, from Beta({MIXUP_ALPHA}, {MIXUP_ALPHA})"),
        ("limits", f"{WINDOW} to 1 of MACs, parameters or latency"),
    ],
)
def test_numbers_that_are_no_keys(what, number):
    row = next(row for row in rows() if row[0] == what)
    assert number in " | ".join(row)


def test_each_row_says_what_the_paper_does_and_why_ours_is_so():
    assert all(len(row) == 4 and all(row) for row in rows())
    names = [row[0] for row in rows()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "kind"), RUNS)
def test_another_number_would_be_noticed(name, kind):
    """The comparison itself: a recipe with one number changed is no longer what the table says."""
    table = by_key()
    changed = read_recipe(name, kind).override({"drop_path": 0.1, "epochs": 31, "ema": 0.5})
    for key in ("drop_path", "epochs", "ema"):
        assert changed.override([f"{key}={said(table[key], name, kind)}"]) != changed
