"""Processes that write to one store at once, and processes that are killed while they write."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.mini_space import SETTING
from support.places import SUPPORT
from support.store_writers import space_of

from resnas_deploy.measuring.latency.store import LatencyStore

GROUP = 8
ENDLESS = 1_000_000


class Writers:
    """The process of store_writers.py, and through it children that write."""

    def __init__(self) -> None:
        command = [sys.executable, str(SUPPORT / "store_writers.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, path: Path, writer: int, first: int, last: int) -> int:
        """The process id of a child that writes."""
        return self.ask([str(path), writer, first, last])

    def status(self, pid: int) -> int:
        """The exit status of that child, once it has ended."""
        return self.ask(pid)

    def kill(self, pid: int, after: float) -> None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
        assert self.status(pid) == -signal.SIGKILL

    def ask(self, asked: object) -> int:
        self.process.stdin.write(f"{json.dumps(asked)}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def writers():
    found = Writers()
    yield found
    found.process.stdin.close()
    found.process.wait(timeout=300)
    found.process.stdout.close()


def groups(path: Path, since: int = 0) -> set[int]:
    """The groups that were written, of which each must be whole, and from `since` on of one writer."""
    found = set()
    with LatencyStore(path) as store:
        for item in store.profiled():
            number = int(item.space.name.removeprefix("group "))
            assert item.networks == GROUP, "a group is there whole"
            if number >= since:
                assert len({found.ratio for found in store.networks(item.setting, item.space, "profile")}) == 1
            if item.setting == SETTING:
                found.add(number)
    return found


def test_several_writers_at_once_lose_nothing_and_double_nothing(tmp_path, writers):
    """All begin on no file, which only one can make, and write the same groups as well as their own."""
    path, count, each = tmp_path / "latency.sqlite", 6, 15
    started = [writers.start(path, number, 0, each) for number in range(count)]
    assert [writers.status(pid) for pid in started] == [0] * count
    assert groups(path) == set(range(each))
    with LatencyStore(path) as store:
        found = Counter(item.setting.threads for item in store.profiled())
        assert found == {SETTING.threads: each} | {100 + number: each for number in range(count)}
        for number in range(count):
            for group in range(each):
                kept = store.networks(replace(SETTING, threads=100 + number), space_of(group), "profile")
                assert {item.ratio for item in kept} == {1.0 + number}
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def kills(writers: Writers, path: Path, count: int, seed: int = 0) -> tuple[int, int]:
    """Kill a writer so many times; how many groups there are then, and how many kills left a half-written change.

    At random moments within twice the time that this machine needs for a group, and on, up to four times as often,
    while no kill has come amid a change or after one.
    """
    rng, done, half_made = np.random.default_rng(seed), 1, 0
    journal = path.with_name(f"{path.name}-journal")
    started = time.perf_counter()
    assert writers.status(writers.start(path, 0, 0, done)) == 0
    most = 2 * (time.perf_counter() - started)
    for number in range(1, 4 * count):
        if number > count and half_made and done > 1:
            break
        pid = writers.start(path, number, done, ENDLESS)
        writers.kill(pid, after=rng.uniform(0, most))
        half_made += journal.exists() and journal.stat().st_size > 0
        found = groups(path, since=done)
        assert found == set(range(len(found))), "no group is missing before another"
        assert len(found) >= done, "what was kept is still there"
        done = len(found)
    assert writers.status(writers.start(path, 5 * count, done, done + 1)) == 0  # it goes on
    assert groups(path, since=done) == set(range(done + 1))
    return done, half_made


def test_a_writer_that_is_killed_leaves_whole_groups_and_the_next_goes_on(tmp_path, writers):
    done, half_made = kills(writers, tmp_path / "latency.sqlite", 8)
    assert done > 1
    assert half_made, "no kill came in the middle of a change"


@pytest.mark.slow
def test_many_more_kills(tmp_path, writers):
    found = [kills(writers, tmp_path / f"{number}.sqlite", 60, seed=number) for number in range(10)]
    assert sum(half_made for _, half_made in found) > 10


def test_a_kill_while_the_file_is_made_leaves_none_or_a_whole_one(tmp_path, writers):
    rng, states = np.random.default_rng(0), set()
    folder = tmp_path / "store"
    path = folder / "latency.sqlite"
    started = time.perf_counter()
    pid = writers.start(path, 0, 0, ENDLESS)
    while not path.exists():
        assert time.perf_counter() < started + 300
    most = 2 * (time.perf_counter() - started)
    writers.kill(pid, after=0)
    for kill in range(8):
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        pid = writers.start(path, 0, 0, ENDLESS)
        writers.kill(pid, after=rng.uniform(0, most) if kill else 0)
        states.add(path.exists())
        if path.exists():
            groups(path)
    assert states == {False, True}


def test_a_kill_of_one_of_two_writers_does_not_stop_the_other(tmp_path, writers):
    path = tmp_path / "latency.sqlite"
    for number in range(10):
        one, other = writers.start(path, 0, 0, ENDLESS), writers.start(path, 1, number * 10, number * 10 + 10)
        writers.kill(one, after=0.02)
        assert writers.status(other) == 0
    assert groups(path) >= set(range(100))
    with LatencyStore(path) as store:
        own = replace(SETTING, threads=101)
        assert sum(item.setting == own for item in store.profiled()) == 100
