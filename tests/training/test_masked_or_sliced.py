"""Which way a supernet is computed: timed once, told, and kept by the run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from support.checks import refusal
from support.small_data import RECIPE, alone, run

from resnas_deploy.progress import silent
from resnas_deploy.training import masked_or_sliced
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.loop import train
from resnas_deploy.training.masked_or_sliced import WaysTimed, decided, time_ways
from resnas_deploy.training.run import RECIPE as RECIPE_FILE

AUTO = replace(RECIPE, masked="auto")


def told(monkeypatch, sliced_s, masked_s):
    """Have the two ways take so long, and return how often they are timed."""
    calls = []

    def timed(*_):
        calls.append(1)
        return WaysTimed(sliced_s, masked_s)

    monkeypatch.setattr(masked_or_sliced, "time_ways", timed)
    return calls


def test_both_ways_are_timed_without_touching_random_numbers(tmp_path):
    before = torch.get_rng_state()
    found = time_ways(run(tmp_path, recipe=AUTO), alone())
    assert 0 < found.sliced_s < 10
    assert 0 < found.masked_s < 10
    assert found.masked == (found.masked_s < found.sliced_s)
    assert torch.equal(before, torch.get_rng_state())


def test_a_clock_that_is_up_ends_the_timing_after_a_step_each_way(tmp_path):
    ticks = iter(range(0, 100_000, 30))
    assert time_ways(run(tmp_path, recipe=AUTO), alone(), lambda: next(ticks)) == WaysTimed(30, 30)
    assert next(ticks) == 30 * 6  # the start, two for each step, and whether to go on


@pytest.mark.parametrize(("masked_s", "masked"), [(0.5, True), (2.0, False)])
def test_the_faster_way_is_taken_told_and_gone_on_with(tmp_path, monkeypatch, masked_s, masked):
    calls, lines = told(monkeypatch, 1.0, masked_s), []
    trained = train(run(tmp_path, recipe=replace(AUTO, epochs=1)), alone(), silent, lines.append)
    assert trained.run.recipe.masked is masked
    assert lines[0] == (
        f"a step's passes take 1000 ms with slices and {1000 * masked_s:.0f} ms under masks; computed "
        f"{'under masks' if masked else 'with slices'}"
    )
    assert f"masked = {str(masked).lower()}\n" in (tmp_path / RECIPE_FILE).read_text()
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["masked"] == masked
    told(monkeypatch, masked_s, 1.0)  # now the other way is faster
    assert train(run(tmp_path, recipe=replace(AUTO, epochs=1)), alone(), silent).run.recipe.masked is masked
    train(run(tmp_path, recipe=replace(AUTO, epochs=1, masked=masked)), alone(), silent)
    other = run(tmp_path, recipe=replace(AUTO, epochs=1, masked=not masked))
    assert "must be of the same run" in refusal(lambda: train(other, alone(), silent))
    assert len(calls) == 1


def test_what_has_no_choice_is_not_timed(tmp_path, monkeypatch):
    calls = told(monkeypatch, 1.0, 2.0)
    for given, masked in (
        (run(tmp_path, recipe=AUTO, space=None), False),
        (run(tmp_path, recipe=replace(AUTO, compile=True)), True),
        (run(tmp_path, recipe=replace(AUTO, masked=True)), True),
        (run(tmp_path, recipe=replace(AUTO, masked=False)), False),
    ):
        assert decided(given, alone(), silent).recipe.masked is masked
    assert not calls


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_decides_for_all(tmp_path, monkeypatch, rank):
    calls, summed = told(monkeypatch, 2.0, 1.0), []

    def total(self, value):  # over both processes
        summed.append(float(value))
        return torch.tensor(1.0)

    monkeypatch.setattr(Processes, "total", total)
    processes = Processes(Share(rank, 2), torch.device("cpu"))
    assert decided(run(tmp_path, recipe=AUTO), processes, silent).recipe.masked is True
    assert (len(calls), summed) == ((1, [1.0]) if rank == 0 else (0, [0.0]))
