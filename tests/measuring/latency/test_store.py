"""The store in one process: what is kept comes back, keys are never mixed, one profiling at a time."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import fields, replace

import pytest
from support.checks import refusal
from support.mini_space import MINI, SETTING, drawn, sampled
from support.places import GOLDEN

from resnas_deploy.errors import StorageError
from resnas_deploy.files import sqlite as database
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.latency.store import FORMAT, LatencyStore, Sampled

ARCHS = drawn(MINI, 10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "latency.sqlite"


def test_what_is_kept_comes_back_in_its_order(path):
    kept = [Sampled(arch, (0.1 + number, 1 / 3, 1e-9), (0.3, 7.0, 2.5)) for number, arch in enumerate(ARCHS)]
    with LatencyStore(path) as store:
        assert store.networks(SETTING, "mini", "profile") == []
        assert store.settings() == []
        store.add(SETTING, "mini", "profile", 0, kept[:4])
        store.add(SETTING, "mini", "profile", 0, kept[4:])
    with LatencyStore(path) as store:
        assert store.networks(SETTING, "mini", "profile") == kept
        assert store.settings() == [(SETTING, "mini", 10)]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_the_ratio_is_that_of_the_runs_that_nothing_disturbed():
    rounds = range(1, 12)  # the lowest decile of eleven is the second
    samples, anchor = [3.0 * number for number in rounds], [1.0 * number for number in rounds]
    assert Sampled(ARCHS[0], tuple(samples), tuple(anchor)).ratio == 3.0
    disturbed = [sample if sample < 7 else 50 * sample for sample in samples]
    assert Sampled(ARCHS[0], tuple(disturbed), tuple(anchor)).ratio == 3.0


def test_a_network_that_is_there_stays_as_it_was(path):
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0], 1.0)])
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0], 2.0), sampled(ARCHS[1], 2.0)])
        assert [item.ratio for item in store.networks(SETTING, "mini", "profile")] == [1.0, 2.0]


def other(setting: Setting, name: str) -> Setting:
    """The setting with another value of one field."""
    value = getattr(setting, name)
    return replace(setting, **{name: value + 1 if isinstance(value, int) else f"{value} other"})


@pytest.mark.parametrize("name", [field.name for field in fields(Setting)])
def test_settings_that_differ_in_one_field_are_not_mixed(path, name):
    second = other(SETTING, name)
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0], 1.0)])
        assert store.networks(second, "mini", "profile") == []
        store.add(second, "mini", "profile", 0, [sampled(ARCHS[0], 2.0), sampled(ARCHS[1], 2.0)])
        assert [item.ratio for item in store.networks(SETTING, "mini", "profile")] == [1.0]
        assert [item.ratio for item in store.networks(second, "mini", "profile")] == [2.0, 2.0]
        assert sorted(count for _, _, count in store.settings()) == [1, 2]


@pytest.mark.parametrize("key", [("tiny", "profile", 0), ("mini", "check", 0), ("mini", "profile", 1)])
def test_spaces_purposes_and_openings_are_not_mixed(path, key):
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0], 1.0)])
        assert store.networks(SETTING, *key) == []
        store.add(SETTING, *key, [sampled(ARCHS[0], 2.0)])
        assert [item.ratio for item in store.networks(SETTING, "mini", "profile")] == [1.0]
        assert [item.ratio for item in store.networks(SETTING, *key)] == [2.0]


def test_a_group_is_kept_whole_or_not_at_all(path):
    with LatencyStore(path) as store:
        with pytest.raises(KeyboardInterrupt):
            store.add(SETTING, "mini", "profile", 0, interrupted())
        assert store.networks(SETTING, "mini", "profile") == []
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0])])  # the store goes on
        assert len(store.networks(SETTING, "mini", "profile")) == 1


def interrupted():
    yield sampled(ARCHS[0])
    raise KeyboardInterrupt


def test_a_disk_that_is_full_is_said_and_keeps_what_was_there(path):
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0])])
        store._connection.execute("PRAGMA max_page_count = 6")
        message = refusal(lambda: store.add(SETTING, "mini", "profile", 0, map(sampled, ARCHS)), StorageError)
        assert "free some space" in message
        assert str(path) in message
        assert len(store.networks(SETTING, "mini", "profile")) == 1
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, map(sampled, ARCHS))
        assert len(store.networks(SETTING, "mini", "profile")) == len(ARCHS)


def test_a_store_that_another_process_keeps_locked_is_not_called_damaged(path, monkeypatch):
    LatencyStore(path).__exit__()
    monkeypatch.setattr(database, "WAIT", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    message = refusal(lambda: LatencyStore(path), StorageError)
    assert "keeps it locked" in message
    assert "must be" not in message
    holder.execute("ROLLBACK")
    holder.close()
    LatencyStore(path).__exit__()


def test_a_store_that_appeared_meanwhile_is_not_replaced(path):
    """Two processes that both found none: the second to make it must leave the first one's."""
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, map(sampled, ARCHS))
        database._create(path, FORMAT)
        assert len(store.networks(SETTING, "mini", "profile")) == len(ARCHS)
    assert len(list(path.parent.iterdir())) == 1
    with LatencyStore(path) as store:
        assert len(store.networks(SETTING, "mini", "profile")) == len(ARCHS)


def test_only_reading_makes_no_file(path):
    with LatencyStore(path, create=False) as store:
        assert store.networks(SETTING, "mini", "profile") == []
        assert store.settings() == []
    assert not path.parent.exists()


def test_only_reading_reads_what_is_there(path):
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, map(sampled, ARCHS))
    with LatencyStore(path, create=False) as store:
        assert [item.arch for item in store.networks(SETTING, "mini", "profile")] == ARCHS


HOLD = """
import sys
from pathlib import Path
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.latency.store import LatencyStore
with LatencyStore(Path(sys.argv[1])) as store, store.measuring():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["returns", "is killed"])
def test_a_second_profiling_is_refused_until_the_first_ends(path, end):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout.readline() == "held\n"
        with LatencyStore(path) as store:
            message = refusal(lambda: store.measuring().__enter__())
            assert f"another one is measuring for {path}" in message
            store.add(SETTING, "mini", "profile", 0, map(sampled, ARCHS))  # the lock is about measuring alone
        if end == "is killed":
            first.kill()
        first.stdin.close()
        first.wait(timeout=30)
    with LatencyStore(path) as store, store.measuring():
        assert len(store.networks(SETTING, "mini", "profile")) == len(ARCHS)


def test_a_link_to_a_store_has_the_same_lock(path, tmp_path):
    link = tmp_path / "link.sqlite"
    LatencyStore(path).__exit__()
    link.symlink_to(path)
    with LatencyStore(path) as store, LatencyStore(link) as same, store.measuring():
        assert "another one is measuring" in refusal(lambda: same.measuring().__enter__())


def test_the_file_says_what_it_is(path):
    """What the file holds is part of what users keep: another layout needs another schema number."""
    with LatencyStore(path) as store:
        store.add(SETTING, "mini", "profile", 0, [sampled(ARCHS[0])])
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert database.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"rsns"),)
    (content,) = database.execute("SELECT content FROM setting").fetchone()
    assert json.loads(content) == {field.name: getattr(SETTING, field.name) for field in fields(Setting)}
    columns = [row[1] for row in database.execute("PRAGMA table_info(network)")]
    assert columns == ["setting", "space", "purpose", "opening", "fingerprint", "arch", "samples_s", "anchor_s"]
    database.close()


def test_a_store_that_an_earlier_version_wrote_is_read(tmp_path):
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((GOLDEN / "stores" / "latency.sql").read_text())
    with LatencyStore(path) as store:
        assert store.settings() == [(SETTING, "mini", 3)]
        found = store.networks(SETTING, "mini", "profile")
        assert [(item.arch, item.ratio) for item in found] == list(zip(drawn(MINI, 3), (1.5, 2.5, 3.5), strict=True))
        assert [item.ratio for item in store.networks(SETTING, "mini", "check", 1)] == [4.5]
        store.add(SETTING, "mini", "profile", 0, map(sampled, ARCHS))
        assert len(store.networks(SETTING, "mini", "profile")) == len(ARCHS)
