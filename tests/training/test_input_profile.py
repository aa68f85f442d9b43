"""What limits a run, measured: no training, no files, and a line that says what would help."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace

import pytest
from support.checks import refusal
from support.small_data import RECIPE, SlowStripes, Stripes, alone, run

from resnas_deploy.training import input_profile
from resnas_deploy.training.input_profile import InputProfile, profile_input
from resnas_deploy.training.learner import Learner

PROFILE = InputProfile("x", "cuda", 8, 4, 64, 1024, 1000.0, 2500.0)


def test_both_are_measured_and_nothing_is_left(tmp_path):
    told = []
    found = profile_input(run(tmp_path / "run"), alone(), told.append, seconds=0.2)
    assert found.loader_images_per_second > 0
    assert found.device_images_per_second > 0
    assert (found.workers, found.processes, found.batch) == (0, 1, 8)
    assert list((tmp_path / "run").iterdir()) == []
    assert any("loader" in line for line in told)
    assert any("device" in line for line in told)
    assert json.loads(json.dumps(found.to_json()))["limit"] == found.limit


def test_a_loader_that_is_slow_is_the_limit(tmp_path):
    """By a clock of its own, on which an image takes 10 ms and a step one."""
    now = [0.0]

    class Slow(Stripes):
        def image(self, index):
            now[0] += 0.01
            return super().image(index)

    def clock():
        now[0] += 0.001
        return now[0]

    found = profile_input(run(tmp_path, train=Slow()), alone(), seconds=0.01, clock=clock)
    assert found.limit == "loader"
    assert found.loader_images_per_second == pytest.approx(100, rel=0.1)
    assert found.ratio > 10


def test_what_workers_made_beforehand_is_not_counted(tmp_path):
    found = profile_input(run(tmp_path, train=SlowStripes(), workers=1), alone(), seconds=0.5)
    assert found.loader_images_per_second < 100  # 50; with the 112 that are on their way at the start it would be 270


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "give more `workers`, up to 8: there are 64 cores"),
        ({"workers": 8}, "all cores are at work"),
        ({"loader_images_per_second": 10_000.0, "workers": 8}, "2 `workers` would do"),
        ({"loader_images_per_second": 2550.0}, "as fast as each other"),
    ],
)
def test_what_would_help_is_said(changes, said):
    found = replace(PROFILE, **changes)
    assert said in found.remedy
    assert said in str(found)


def test_it_is_said_which_is_the_limit_and_by_how_much():
    assert "the loader is the limit, the device is 2.5 times as fast" in str(PROFILE)
    assert "the device is the limit, the loader is 4.0 times" in str(replace(PROFILE, loader_images_per_second=1e4))
    assert "images/s, 1 worker\n" in str(replace(PROFILE, workers=1, processes=1))
    assert "images/s, no workers\n" in str(replace(PROFILE, workers=0, processes=1))


def test_the_device_is_measured_as_the_run_would_use_it(tmp_path, monkeypatch):
    """With the settings of a GPU, and under masks where those are faster."""
    settings, ways = [], []

    @contextmanager
    def training_on(device, *, tf32):
        settings.append(tf32)
        yield

    def decided(run, processes, tell):
        return replace(run, recipe=replace(run.recipe, masked=True))

    class Seen(Learner):
        def __init__(self, run, processes):
            super().__init__(run, processes)
            ways.append(self.network.masked)

    monkeypatch.setattr(input_profile, "training_on", training_on)
    monkeypatch.setattr(input_profile, "decided", decided)
    monkeypatch.setattr(input_profile, "Learner", Seen)
    profile_input(run(tmp_path, recipe=replace(RECIPE, masked="auto", tf32=True)), alone(), seconds=0.05)
    assert settings == [True]
    assert ways == [True]


def test_groups_that_cannot_be_shared_out_are_refused(tmp_path):
    recipe = replace(RECIPE, accumulation=RECIPE.groups + 1)
    assert "accumulation must divide the groups" in refusal(
        lambda: profile_input(run(tmp_path, recipe=recipe), alone())
    )
