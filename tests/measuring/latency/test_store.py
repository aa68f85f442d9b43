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
from support.mini_space import EIGHT, MINI, SETTING, drawn, sampled
from support.places import GOLDEN

from resnas_deploy.errors import StorageError
from resnas_deploy.files import sqlite as database
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.latency.store import FORMAT, LatencyStore, Profiled, Sampled
from resnas_deploy.weights.space_files import packaged_spaces

ARCHS = drawn(MINI, 10)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "latency.sqlite"


def test_what_is_kept_comes_back_in_its_order(path):
    kept = [Sampled(arch, (0.1 + number, 1 / 3, 1e-9), (0.3, 7.0, 2.5)) for number, arch in enumerate(ARCHS)]
    with LatencyStore(path) as store:
        assert store.networks(SETTING, MINI, "profile") == []
        assert store.profiled() == []
        store.add(SETTING, MINI, "profile", 0, kept[:4])
        store.add(SETTING, MINI, "profile", 0, kept[4:])
    with LatencyStore(path) as store:
        assert store.networks(SETTING, MINI, "profile") == kept
        assert store.profiled() == [Profiled(SETTING, MINI, 10, latest=10)]
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_the_ratio_is_that_of_the_runs_that_nothing_disturbed():
    rounds = range(1, 12)  # the lowest decile of eleven is the second
    samples, anchor = [3.0 * number for number in rounds], [1.0 * number for number in rounds]
    assert Sampled(ARCHS[0], tuple(samples), tuple(anchor)).ratio == 3.0
    disturbed = [sample if sample < 7 else 50 * sample for sample in samples]
    assert Sampled(ARCHS[0], tuple(disturbed), tuple(anchor)).ratio == 3.0


def test_a_network_that_is_there_stays_as_it_was(path):
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0], 1.0)])
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0], 2.0), sampled(ARCHS[1], 2.0)])
        assert [item.ratio for item in store.networks(SETTING, MINI, "profile")] == [1.0, 2.0]


def other(setting: Setting, name: str) -> Setting:
    """The setting with another value of one field."""
    value = getattr(setting, name)
    return replace(setting, **{name: value + 1 if isinstance(value, int) else f"{value} other"})


@pytest.mark.parametrize("name", [field.name for field in fields(Setting)])
def test_settings_that_differ_in_one_field_are_not_mixed(path, name):
    second = other(SETTING, name)
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0], 1.0)])
        assert store.networks(second, MINI, "profile") == []
        store.add(second, MINI, "profile", 0, [sampled(ARCHS[0], 2.0), sampled(ARCHS[1], 2.0)])
        assert [item.ratio for item in store.networks(SETTING, MINI, "profile")] == [1.0]
        assert [item.ratio for item in store.networks(second, MINI, "profile")] == [2.0, 2.0]
        assert sorted(item.networks for item in store.profiled()) == [1, 2]


@pytest.mark.parametrize(
    "key",
    [(EIGHT, "profile", 0), (MINI, "check", 0), (MINI, "profile", 1)],
    ids=["space", "purpose", "repeat"],
)
def test_spaces_purposes_and_openings_are_not_mixed(path, key):
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0], 1.0)])
        assert store.networks(SETTING, *key) == []
        store.add(SETTING, *key, [sampled(ARCHS[0], 2.0)])
        assert [item.ratio for item in store.networks(SETTING, MINI, "profile")] == [1.0]
        assert [item.ratio for item in store.networks(SETTING, *key)] == [2.0]


def test_a_group_is_kept_whole_or_not_at_all(path):
    with LatencyStore(path) as store:
        with pytest.raises(KeyboardInterrupt):
            store.add(SETTING, MINI, "profile", 0, interrupted())
        assert store.networks(SETTING, MINI, "profile") == []
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0])])  # the store goes on
        assert len(store.networks(SETTING, MINI, "profile")) == 1


def interrupted():
    yield sampled(ARCHS[0])
    raise KeyboardInterrupt


def test_a_disk_that_is_full_is_said_and_keeps_what_was_there(path):
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0])])
        store._connection.execute("PRAGMA max_page_count = 6")
        message = refusal(lambda: store.add(SETTING, MINI, "profile", 0, map(sampled, ARCHS)), StorageError)
        assert "free some space" in message
        assert str(path) in message
        assert len(store.networks(SETTING, MINI, "profile")) == 1
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, map(sampled, ARCHS))
        assert len(store.networks(SETTING, MINI, "profile")) == len(ARCHS)


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
        store.add(SETTING, MINI, "profile", 0, map(sampled, ARCHS))
        database._create(path, FORMAT)
        assert len(store.networks(SETTING, MINI, "profile")) == len(ARCHS)
    assert len(list(path.parent.iterdir())) == 1
    with LatencyStore(path) as store:
        assert len(store.networks(SETTING, MINI, "profile")) == len(ARCHS)


def test_only_reading_makes_no_file(path):
    with LatencyStore(path, create=False) as store:
        assert store.networks(SETTING, MINI, "profile") == []
        assert store.profiled() == []
    assert not path.parent.exists()


def test_only_reading_reads_what_is_there(path):
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, map(sampled, ARCHS))
    with LatencyStore(path, create=False) as store:
        assert [item.arch for item in store.networks(SETTING, MINI, "profile")] == ARCHS


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
            store.add(SETTING, MINI, "profile", 0, map(sampled, ARCHS))  # the lock is about measuring alone
        if end == "is killed":
            first.kill()
        first.stdin.close()
        first.wait(timeout=30)
    with LatencyStore(path) as store, store.measuring():
        assert len(store.networks(SETTING, MINI, "profile")) == len(ARCHS)


def test_a_link_to_a_store_has_the_same_lock(path, tmp_path):
    link = tmp_path / "link.sqlite"
    LatencyStore(path).__exit__()
    link.symlink_to(path)
    with LatencyStore(path) as store, LatencyStore(link) as same, store.measuring():
        assert "another one is measuring" in refusal(lambda: same.measuring().__enter__())


def test_the_file_says_what_it_is(path):
    """What the file holds is part of what users keep: another layout needs another schema number."""
    with LatencyStore(path) as store:
        store.add(SETTING, MINI, "profile", 0, [sampled(ARCHS[0])])
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA user_version").fetchone() == (2,)
    assert database.execute("PRAGMA application_id").fetchone() == (int.from_bytes(b"rsns"),)
    (content,) = database.execute("SELECT content FROM setting").fetchone()
    assert json.loads(content) == {field.name: getattr(SETTING, field.name) for field in fields(Setting)}
    columns = [row[1] for row in database.execute("PRAGMA table_info(network)")]
    assert columns == ["setting", "space", "purpose", "opening", "fingerprint", "arch", "samples_s", "anchor_s"]
    database.close()


@pytest.fixture
def old(tmp_path):
    """A store of schema 1, in which spaces had names alone."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((GOLDEN / "stores" / "latency.sql").read_text())
        database.execute("UPDATE network SET space = 'demo'")
        database.commit()
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    return path


DEMO = packaged_spaces()["demo"]


@pytest.mark.parametrize("create", [True, False])
def test_a_store_that_an_earlier_version_wrote_is_read(old, create):
    before = old.read_bytes()
    with LatencyStore(old, create=create) as store:
        assert store.profiled() == [Profiled(SETTING, DEMO, 3, latest=3)]
        found = store.networks(SETTING, DEMO, "profile")
        assert [(item.arch, item.ratio) for item in found] == list(zip(drawn(MINI, 3), (1.5, 2.5, 3.5), strict=True))
        assert [item.ratio for item in store.networks(SETTING, DEMO, "check", 1)] == [4.5]
    assert (old.read_bytes() == before) == (not create)  # whoever only reads changes nothing


def test_a_store_that_an_earlier_version_wrote_is_upgraded_once(old):
    with LatencyStore(old) as store:
        store.add(SETTING, DEMO, "profile", 0, map(sampled, ARCHS))
    with LatencyStore(old) as store:
        assert len(store.networks(SETTING, DEMO, "profile")) == len(ARCHS)
    with closing(sqlite3.connect(old)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("SELECT COUNT(*) FROM space").fetchone() == (1,)


def test_what_is_written_to_a_copy_is_refused_and_not_lost(old):
    with LatencyStore(old, create=False) as store:
        message = refusal(lambda: store.add(SETTING, DEMO, "profile", 0, map(sampled, ARCHS)), StorageError)
    assert "allow writing" in message


def test_networks_of_a_space_that_nobody_knows_stay_in_an_upgraded_store(old):
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("UPDATE network SET space = 'ours'")
    with LatencyStore(old) as store:
        assert store.profiled() == []
    with closing(sqlite3.connect(old)) as database:
        assert database.execute("SELECT COUNT(*) FROM network WHERE space = 'ours'").fetchone() == (4,)


UPGRADE = """
import sys
from pathlib import Path
from resnas_deploy.measuring.latency.store import LatencyStore
sys.stdin.readline()
with LatencyStore(Path(sys.argv[1])) as store:
    print(len(store.profiled()))
"""


def test_several_processes_that_upgrade_a_store_at_once(old):
    command = [sys.executable, "-c", UPGRADE, str(old)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in started:
        process.stdin.write("now\n")
        process.stdin.flush()
    assert [process.communicate(timeout=300)[0] for process in started] == ["1\n"] * 3
    with LatencyStore(old) as store:
        assert len(store.networks(SETTING, DEMO, "profile")) == 3


def test_a_damaged_store_of_an_earlier_version_is_refused_and_left(old):
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("CREATE TRIGGER t AFTER UPDATE ON network BEGIN DELETE FROM network; END")
    before = old.read_bytes()
    for create in (True, False):
        assert "the trigger 't', which is not one of its own" in refusal(lambda: LatencyStore(old, create=create))
    assert old.read_bytes() == before


def test_spaces_of_one_name_are_not_mixed(path):
    """Of two files of a user, or of one file before and after a change."""
    other, larger = replace(MINI, stem_mid_widths=(12, 24)), MINI.with_image_size(168)
    with LatencyStore(path) as store:
        for number, space in enumerate((MINI, other, larger), start=1):
            store.add(SETTING, space, "profile", 0, [sampled(ARCHS[0], float(number))])
        for number, space in enumerate((MINI, other, larger), start=1):
            assert [item.ratio for item in store.networks(SETTING, space, "profile")] == [float(number)]
        assert len(store.profiled()) == 3
    with LatencyStore(path) as store:
        assert store.networks(SETTING, MINI.with_classes(99), "profile")  # whose subnets are the same
        assert {item.space for item in store.profiled()} == {MINI, other, larger}
