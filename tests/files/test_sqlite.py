"""A database is a file that runs: only our own tables are opened, and nothing in them goes on for ever."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

import pytest
from support.checks import refusal

from resnas_deploy.files import sqlite as database
from resnas_deploy.files.sqlite import MOST_BYTES, Database, Format

FORMAT = Format("list", "list", 0x72736E7A, 1, "CREATE TABLE item (name TEXT NOT NULL, size INTEGER NOT NULL);")
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.fixture
def path(tmp_path):
    with Database(tmp_path / "list.sqlite", FORMAT) as opened:
        opened.insert("INSERT INTO item VALUES (?, ?)", [("a", 1)])
    return tmp_path / "list.sqlite"


def names(path):
    with Database(path, FORMAT) as opened, opened.errors():
        return opened.rows("SELECT name FROM item")


def altered(path, sql):
    with closing(sqlite3.connect(path)) as other:
        other.executescript(sql)


def test_what_we_wrote_is_read(path):
    assert names(path) == [("a",)]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (f"DROP TABLE item; CREATE VIEW item AS {ENDLESS} SELECT x AS name, x AS size FROM c", "the view 'item'"),
        (f"CREATE VIEW other AS {ENDLESS} SELECT x FROM c", "the view 'other'"),
        ("CREATE TRIGGER t AFTER INSERT ON item BEGIN DELETE FROM item; END", "the trigger 't'"),
        ("CREATE INDEX i ON item (length(name))", "the index 'i'"),
        ("CREATE TABLE other (x)", "the table 'other'"),
        ("ALTER TABLE item ADD COLUMN more AS (zeroblob(100000000))", "the table 'item'"),
        ("DROP TABLE item; CREATE TABLE item (name TEXT, size INTEGER CHECK (size < 5))", "the table 'item'"),
    ],
)
def test_nothing_but_our_tables(path, sql, said):
    altered(path, sql)
    message = refusal(lambda: names(path))
    assert f"must be a list that resnas wrote, found: {said}" in message
    assert message.endswith("nothing was changed: move it away, or choose another `list`")


def test_a_query_without_an_end_is_ended(path, monkeypatch):
    monkeypatch.setattr(database, "_MOST_CPU", 0.2)

    def ask():
        with Database(path, FORMAT) as opened, opened.errors():
            opened.rows(f"{ENDLESS} SELECT count(*) FROM c")

    started = time.thread_time()
    assert "interrupted" in refusal(ask)
    assert time.thread_time() - started < 5


def test_time_between_queries_does_not_count(path, monkeypatch):
    monkeypatch.setattr(database, "_MOST_CPU", 0.5)
    monkeypatch.setattr(database, "_BETWEEN", 1)
    with Database(path, FORMAT) as opened:
        until = time.thread_time() + 0.7
        while time.thread_time() < until:
            pass
        with opened.errors(), opened.transaction():
            opened.insert("INSERT INTO item VALUES (?, ?)", [("b", 2)])
    assert names(path) == [("a",), ("b",)]


def test_a_value_that_is_too_long(path, monkeypatch):
    altered(path, "UPDATE item SET name = CAST(zeroblob(20000000) AS TEXT)")
    assert "must be a list that resnas wrote, found: string or blob too big" in refusal(lambda: names(path))


def test_a_file_that_is_too_long(path):
    os.truncate(path, MOST_BYTES + 1)
    assert f"must have at most {MOST_BYTES} bytes" in refusal(lambda: names(path))


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_file(tmp_path, kind):
    path = tmp_path / "list.sqlite"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert "must be a file, found something else" in refusal(lambda: names(path))
