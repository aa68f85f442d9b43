"""What a search's file says was found: every value is one that a search can have kept, or the file is refused."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from support.checks import refusal
from support.small_data import SPACE

from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.store import SearchStore


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
