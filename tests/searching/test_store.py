"""What a search's file says was found: every value is one that a search can have kept, or the file is refused."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from support.checks import refusal
from support.mini_space import SETTING
from support.places import GOLDEN
from support.small_data import SPACE

from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.regression import Regression
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.searching.candidate import Candidate, Score, canonical
from resnas_deploy.searching.costs import Bounds, CostLimits, macs_cost, parameters_cost
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.iterations import SearchProblem
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.space_files import packaged_spaces


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    with SearchStore(tmp_path / "search.sqlite", "this search") as store:
        store.add([Candidate(SPACE.sample(rng), Score(3, 4), (1.0, 2.0), 0)])
    return tmp_path / "search.sqlite"


def candidates(path):
    with SearchStore(path, "this search") as store:
        return store.candidates()


def altered(path, column, value):
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"UPDATE candidate SET {column} = ?", (value,))


def test_what_was_kept_is_found(path):
    (found,) = candidates(path)
    assert (found.score, found.costs, found.iteration) == (Score(3, 4), (1.0, 2.0), 0)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subnet", ""),
        ("subnet", b"\xff"),
        ("subnet", "null"),
        ("subnet", '{"full": {}, "kept": []}'),
        ("subnet", '{"full": {}}'),
        ("subnet", "[" * 10_000),
        ("correct", -1),
        ("correct", 5),
        ("correct", 2.5),
        ("correct", "three"),
        ("seen", "x"),
        ("stopped", 2),
        ("stopped", "no"),
        ("iteration", -1),
        ("iteration", 0.5),
        ("costs", ""),
        ("costs", "{}"),
        ("costs", "[null]"),
        ("costs", "[NaN]"),
        ("costs", "[1e400]"),
        ("costs", "[-1]"),
        ("costs", '["1"]'),
        ("costs", "[true]"),
        ("costs", b"[1]"),
    ],
)
def test_a_value_that_cannot_be(path, column, value):
    altered(path, column, value)
    assert "must be a search that resnas wrote, found: " in refusal(lambda: candidates(path))


@pytest.mark.parametrize(
    "kept", ["[]", "[[true]]", "[[1, 1], [1, 1], [1, 1]]", "[[false, false], [true, true], [true, true]]"]
)
def test_blocks_that_cannot_be(path, kept):
    (found,) = candidates(path)
    altered(path, "subnet", json.dumps({"full": found.subnet.full.to_json(), "kept": json.loads(kept)}))
    assert "must be a search that resnas wrote, found: " in refusal(lambda: candidates(path))


def test_a_search_that_an_earlier_version_began_goes_on(tmp_path, monkeypatch):
    """Its file is read, and the same search has the same identity: that knew the spaces of the package by name."""
    monkeypatch.setitem(packaged_spaces(), SPACE.name, SPACE)
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((GOLDEN / "stores" / "search.sql").read_text())
    regression = Regression((0.5, 1.0), anchor_ms=2.0, mape=0.1, spread=0.2, networks=60, terms=Terms(3))
    model = LatencyModel(SPACE, Setup(RUNNERS["ort-cpu"], "fp32", 1), SETTING, regression)
    problem = SearchProblem(
        space=SPACE,
        supernet="digest",
        data="stripes",
        held_out=1000,
        limits=CostLimits((Bounds.parse("0.5M", "", "").macs.limit(macs_cost(), SPACE),)),
        costs=(macs_cost(), parameters_cost()),
        evolution=Evolution(iterations=4, first=30, mutated=10, crossed=10, parents=8),
        seed=0,
        measured=model.identity,
    )
    rng = np.random.default_rng(0)
    with SearchStore(path, problem.identity) as store:
        assert store.candidates() == [
            Candidate(canonical(SPACE.sample(rng), SPACE.widest()), Score(30, 100), (0.25, 2.0), 0),
            Candidate(canonical(SPACE.sample(rng), SPACE.widest()), Score(31, 100, stopped=True), (1.25, 2.0), 1),
        ]
