"""Files that are no store, or a damaged one: refused by name, and left as they are."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal
from support.mini_space import MINI, SETTING, drawn, sampled
from support.places import TESTS

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.store import FORMAT, LatencyStore

ARCHS = drawn(MINI, 24)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a store."""
    path = tmp_path_factory.mktemp("whole") / "latency.sqlite"
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, map(sampled, ARCHS))
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "latency.sqlite"


def altered(path, whole, *statements):
    """A store on which SQL was run."""
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)
    return path.read_bytes()


def read(path, create=True):
    with LatencyStore(path, create=create) as store:
        store.profiled()
        return store.networks(SETTING, MINI, "profile")


def refused(path):
    """The message, which names the file; nothing may change, and nothing may be left beside it."""
    content, beside = path.read_bytes(), sorted(path.parent.iterdir())
    messages = {refusal(lambda create=create: read(path, create)) for create in (True, False)}
    assert path.read_bytes() == content
    assert sorted(path.parent.iterdir()) == beside
    (message,) = messages
    assert str(path) in message
    assert "`store`" in message
    return message


def test_an_empty_file(path):
    path.touch()
    message = refused(path)
    assert "found an empty one; nothing was changed: move it away" in message


@pytest.mark.parametrize("content", [b"\0" * 4096, b"latency" * 1000, b"SQLite format 3\0", b"\xff" * 99, b"x"])
def test_another_file(path, content):
    path.write_bytes(content)
    assert "found another file" in refused(path)


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_another_programs_database(path, journal):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute("CREATE TABLE network (arch TEXT)")
        database.execute("INSERT INTO network VALUES ('precious')")
    assert "found another database" in refused(path)


@pytest.mark.parametrize("schema", [FORMAT.schema + 1, 2_000_000_000])
def test_a_schema_from_the_future(path, whole, schema):
    altered(path, whole, f"PRAGMA user_version = {schema}")
    assert f"must have schema {FORMAT.schema} or less, found {schema}; use a newer resnas" in refused(path)


@pytest.mark.parametrize("schema", [0, -1])
def test_a_schema_that_never_was(path, whole, schema):
    altered(path, whole, f"PRAGMA user_version = {schema}")
    assert "must be a latency store" in refused(path)


def test_a_store_cut_at_any_length(path, whole):
    lengths = {*range(0, len(whole), 1021), *range(0, len(whole), 4096), 99, 100, 101, len(whole) - 1}
    for length in sorted(lengths):
        path.write_bytes(whole[:length])
        assert "must be a latency store" in refused(path), f"cut to {length} bytes"


def test_a_store_whose_rows_are_out_of_order(path, whole):
    """Damage that reading alone would not see."""
    page, leaf = 4096, 13  # bytes, and the first byte of a page of rows
    content, swapped = bytearray(whole), 0
    for start in range(page, len(whole), page):
        cells = int.from_bytes(content[start + 3 : start + 5])
        if content[start] == leaf and cells > 1:
            content[start + 8 : start + 12] = content[start + 10 : start + 12] + content[start + 8 : start + 10]
            swapped += 1
    assert swapped
    path.write_bytes(content)
    assert "out of order" in refused(path)


def test_a_store_with_damaged_bytes_is_read_or_refused(path, whole):
    """Damage that SQLite can see is refused; damage inside a number may be read. Nothing else happens."""
    rng, refusals = np.random.default_rng(0), 0
    for number in range(250):
        content = bytearray(whole)
        at, length = int(rng.integers(len(whole) if number % 2 else 120)), int(rng.integers(1, 60))
        content[at : at + length] = rng.bytes(len(content[at : at + length]))
        path.write_bytes(content)
        try:
            read(path)
        except BadInput as error:
            assert str(path) in str(error)
            refusals += 1
    assert refusals > 50


WRONG_ROWS = {
    "no JSON": ("samples_s", "[0.1, "),
    "no list": ("samples_s", "3"),
    "no times": ("samples_s", "[]"),
    "no number": ("anchor_s", '["fast"]'),
    "null": ("anchor_s", "[null]"),
    "zero": ("anchor_s", "[0.1, 0.1, 0, 0.1, 0.1, 0.1]"),
    "negative": ("samples_s", "[0.1, 0.1, -0.1, 0.1, 0.1, 0.1]"),
    "not a number": ("samples_s", "[0.1, 0.1, NaN, 0.1, 0.1, 0.1]"),
    "infinite": ("samples_s", "[0.1, 0.1, Infinity, 0.1, 0.1, 0.1]"),
    "beyond a float": ("samples_s", f"[1{'0' * 400}]"),
    "too deep": ("samples_s", "[" * 100_000),
    "fewer than the anchor's": ("samples_s", "[0.1]"),
    "no network": ("arch", "[]"),
    "a network that cannot be": ("arch", '{"stages": []}'),
}


@pytest.mark.parametrize(("column", "content"), WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_a_row_that_cannot_be(path, whole, column, content):
    altered(path, whole, f"UPDATE network SET {column} = '{content}' WHERE rowid = 17")
    assert "must be a latency store that resnas wrote, found: " in refused(path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"machine": "m", "cores": 2}'])
def test_a_setting_that_cannot_be(path, whole, content):
    altered(path, whole, f"UPDATE setting SET content = '{content}'")
    assert "must be a latency store that resnas wrote, found: " in refused(path)


@pytest.mark.parametrize("table", ["network", "setting", "space"])
def test_a_store_without_a_table(path, whole, table):
    altered(path, whole, f"DROP TABLE {table}")
    assert f"no such table: {table}" in refused(path)


def test_what_is_no_file(path):
    path.mkdir()
    assert "must be a file" in refusal(lambda: LatencyStore(path))
    path.rmdir()
    os.mkfifo(path)
    assert "must be a file" in refusal(lambda: LatencyStore(path))  # and it does not wait for a writer


def test_a_folder_that_cannot_be_made(path):
    path.touch()
    message = refusal(lambda: LatencyStore(path / "latency.sqlite"))
    assert "cannot be opened: " in message
    assert message.endswith("choose another `store`")


READ_ONLY = """
import os, sys
from pathlib import Path
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.errors import StorageError
sys.path.append(sys.argv[2])
from support.mini_space import MINI, SETTING, drawn, sampled
few = [sampled(arch) for arch in drawn(MINI, 3, seed=4)]
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
folder = Path(sys.argv[1])
def measuring(store):
    with store.measuring():
        pass
with LatencyStore(folder / "latency.sqlite") as store:
    print(len(store.networks(SETTING, MINI, "profile")))
    for act in (
        lambda: store.add(SETTING, MINI, "profile", 0, few),
        lambda: measuring(store),
        lambda: LatencyStore(folder / "new.sqlite"),
        lambda: LatencyStore(folder / "new" / "new.sqlite"),
    ):
        try:
            act()
        except StorageError as error:
            print(error)
"""


def test_a_folder_that_cannot_be_written(whole):
    """What is there can be read; whatever would write is refused in a line."""
    folder = Path(tempfile.mkdtemp())  # not below pytest's own, which another user cannot enter
    try:
        (folder / "latency.sqlite").write_bytes(whole)
        (folder / "latency.sqlite").chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder), str(TESTS)],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stderr == ""
        count, *messages = done.stdout.splitlines()
        assert int(count) == len(ARCHS)
        assert [sum(word in message for message in messages) for word in ("readonly", "Permission denied")] == [1, 3]
        assert all(str(folder) in message and "`store`" in message for message in messages)
    finally:
        folder.chmod(0o755)  # or its owner could not remove what is in it
        shutil.rmtree(folder)
