"""The campaign: what is done stays done, and nothing is begun that the time is too short for."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import asdict, replace

import pytest
from evidence import campaign, pairs, parts, residual, state
from evidence.job import Done, Job
from evidence.state import State
from support.places import ROOT

from resnas_deploy.errors import BadInput

MACHINE = {"cpu": "a processor", "instructions": "avx2"}


def made(settings, _):
    """Stand for an experiment."""
    return {"twice": 2 * settings["number"]}


def workers(submit=None, count=1, **more):
    """Return workers that do what they are handed at once."""
    return campaign.Workers(submit or at_once, count, **more)


def jobs(count, **more):
    return [Job("part", f"number {number}", {"number": number}, made, 10.0, **more) for number in range(count)]


def at_once(job):
    """Do a job as it is handed over, in ten seconds: `carry_out` sees a future that is done."""
    future = Future()
    future.set_result(replace(campaign.carried_out(job), seconds=10.0))
    return future


class Clock:
    """Ten seconds pass with every job that is told of."""

    now = 0.0

    def __call__(self):
        return self.now

    def told(self, _):
        self.now += 10


def test_what_is_done_is_not_done_again(tmp_path):
    with State(tmp_path / "state.sqlite") as kept:
        assert campaign.carry_out(jobs(3), kept, 1000, workers(), lambda _: None) == 0
    with State(tmp_path / "state.sqlite") as kept:
        assert [one.found["twice"] for one in kept.done()] == [0, 2, 4]

        def never(_):
            raise AssertionError("all of these are done")

        assert campaign.carry_out(jobs(3), kept, 1000, workers(never), lambda _: None) == 0


def test_other_settings_make_another_job():
    one, other = jobs(2)
    assert Job("part", one.name, other.settings, made, 10.0).key != one.key
    assert Job("part", one.name, one.settings, made, 99.0).key == one.key


def test_nothing_is_begun_that_the_budget_is_too_short_for(tmp_path):
    clock, told = Clock(), []

    def telling(text):
        told.append(text)
        clock.told(text)

    with State(tmp_path / "state.sqlite") as kept:
        failed = campaign.carry_out(jobs(5), kept, 35, workers(), telling, clock)
        assert (failed, len(kept.done())) == (0, 3)
    assert told[-1] == "no time is left for part: number 3"


def test_what_wants_the_machine_for_itself_waits_until_nothing_else_runs(tmp_path):
    order, held = [], []

    def later(job):
        order.append(f"begun {job.name}")
        held.append((future := Future(), job))
        return future

    def alone(settings, _):
        assert all(future.done() for future, _ in held), "others still run"
        order.append("alone")
        return {}

    def told(_):
        pass

    mixed = [*jobs(2), Job("part", "timed", {}, alone, 1.0, alone=True), *jobs(3)[2:]]
    with State(tmp_path / "state.sqlite") as kept:
        original = campaign.wait

        def finishing(running, return_when):
            for future, job in held:
                if not future.done():
                    future.set_result(campaign.carried_out(job))
            return original(running, return_when=return_when)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(campaign, "wait", finishing)
            campaign.carry_out(mixed, kept, 1000, workers(later, 2), told)
    assert order == ["begun number 0", "begun number 1", "alone", "begun number 2"]


def test_the_pace_of_what_is_done_says_what_fits():
    own = jobs(3)
    done = [Done("part", job.name, job.key, 30.0, MACHINE, {}) for job in own[:2]]
    assert campaign.pace(own, done) == 3
    assert math.isnan(campaign.pace(own, []))


def test_on_a_gpu_the_first_are_begun_whatever_was_guessed(tmp_path):
    with State(tmp_path / "state.sqlite") as kept:
        assert campaign.carry_out(jobs(2), kept, 5, workers(), lambda _: None) == 0
        assert kept.done() == []
        campaign.carry_out(jobs(2), kept, 5, workers(device="cuda"), lambda _: None)
        assert len(kept.done()) == 1  # which took ten seconds, so that the next does not fit


def test_one_that_fails_is_told_of_and_the_others_are_done(tmp_path):
    def failing(settings, _):
        raise BadInput("no such network")

    first, *others = jobs(3)
    bad, told = Job("part", first.name, first.settings, failing, 10.0), []

    def handed(job):
        future = at_once(job) if job is not bad else Future()
        if job is bad:
            future.set_exception(BadInput("no such network"))
        return future

    with State(tmp_path / "state.sqlite") as kept:
        assert campaign.carry_out([bad, *others], kept, 1000, workers(handed, 2), told.append) == 1
        assert [one.name for one in kept.done()] == ["number 1", "number 2"]
    assert "failed: part: number 0: no such network" in told


def test_a_part_that_is_forgotten_is_done_again(tmp_path):
    results = tmp_path / "results"
    with State(tmp_path / "state.sqlite") as kept:
        campaign.carry_out(jobs(2), kept, 1000, workers(), lambda _: None)
        state.record("part", kept.done(), results)
        kept.forget(["another"], results)
        assert len(kept.done()) == 2
        kept.forget(["part"], results)
        kept.take(["part"], results)
        assert kept.done() == []


def test_result_files_are_taken_as_done(tmp_path):
    (job,) = jobs(1)
    done = campaign.carried_out(job)
    state.record("part", [done], tmp_path / "results")
    assert state.recorded("part", tmp_path / "results") == [done]
    assert state.recorded("other", tmp_path / "results") == []
    with State(tmp_path / "state.sqlite") as kept:
        kept.take(["part", "other"], tmp_path / "results")
        assert kept.done() == [done]


def test_results_of_other_settings_are_left_out():
    (job, *_) = residual.jobs([], pairs.ALL)
    valid = Done(job.part, job.name, job.key, 1.0, MACHINE, {})
    stale = Done(job.part, job.name, "0" * 16, 1.0, MACHINE, {})
    assert parts.planned([stale, valid])[1] == [valid]


def test_every_committed_result_belongs_to_the_campaign():
    """But for those of parts whose jobs follow from others, which `planned` reads in order."""
    for part in parts.PARTS:
        found = state.recorded(part)
        assert len({one.key for one in found}) == len(found)
        assert all(one.part == part and one.machine["instructions"] and one.seconds > 0 for one in found)
    everything = [one for part in parts.PARTS for one in state.recorded(part)]
    assert len(parts.planned(everything)[1]) == len(everything)


def command(*words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "evidence", *words],
        cwd=ROOT / "benchmarks",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **more,
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("run", "residuals"), "a part must be one of residual, "),
        (("run", "--budget", "soon"), "a time must be a number and s, m or h, such as 150m, found 'soon'"),
        (("run", "--workers", "spark"), "`workers` must be ray or ray:ADDRESS, found 'spark'"),
    ],
)
def test_wrong_input_is_told_in_a_line(words, line, tmp_path):
    with command(*words, "--state", str(tmp_path / "state.sqlite"), env=os.environ | {"COLUMNS": "300"}) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode
    assert line in said
    assert "Traceback" not in said


SMALL = """
import sys
from evidence import residual
residual.STEPS, residual.BATCH, residual.READ_AT = 110, 4, (110,)  # the warm-up takes 100
residual.pairs.VALIDATION = 500
residual.DEPTHS, residual.SEEDS = (2,), range(4)
if __name__ == "__main__":
    from evidence.__main__ import main
    sys.argv[1:1] = ["run", "residual"]
    main()
"""


def small(tmp_path, *words):
    script = tmp_path / "small.py"
    script.write_text(SMALL)
    return subprocess.Popen(
        [sys.executable, script, "--results", tmp_path / "results", "--state", tmp_path / "state.sqlite", *words],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'benchmarks'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_it_goes_on_where_it_was_and_leaves_no_process(tmp_path):
    process = small(tmp_path)
    kept = [process.stdout.readline() for _ in range(3)]
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert all(" min  residual: depth 2" in line for line in kept)
    time.sleep(3)  # in which the guardian ends the workers
    left = subprocess.run(["pgrep", "-f", str(tmp_path)], capture_output=True, text=True, check=False).stdout
    assert not left
    with State(tmp_path / "state.sqlite") as found:
        before = {one.key: one for one in found.done()}
    assert 3 <= len(before) < 16
    said, wrong = small(tmp_path).communicate(timeout=600)
    assert "residual: 16 of 16" in said, wrong
    lines = (tmp_path / "results" / "residual.jsonl").read_text().splitlines()
    assert len(lines) == 16
    assert [one for line in lines if (one := Done(**json.loads(line))).key in before] == list(before.values())


@pytest.mark.slow
def test_ray_finds_what_this_machine_s_processes_find(tmp_path):
    pytest.importorskip("ray")
    found = []
    for words in ((), ("--workers", "ray")):
        folder = tmp_path / f"with{len(words)}"
        folder.mkdir()
        said, wrong = small(folder, *words).communicate(timeout=600)
        assert "residual: 16 of 16" in said, wrong
        lines = (folder / "results" / "residual.jsonl").read_text().splitlines()
        found.append([asdict(Done(**json.loads(line)))["found"] for line in lines])
    assert found[0] == found[1]
