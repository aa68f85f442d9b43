"""Progress: what is left on a terminal, lines ever further apart in a log, nothing where it is not wanted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise

import pytest
from support.terminal import CODE, on_a_terminal

from resnas_deploy.cli.progress import LogLines, is_quiet
from resnas_deploy.cli.stages import Stages
from resnas_deploy.progress import Counted, counted


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_rate_and_what_is_left(clock):
    stages = Stages(clock)
    found = []
    for done in range(0, 100, 10):
        stages.hear(counted("accuracy", done, 100, "images"))
        found.append(stages.details())
        clock.now += 2
    assert found[0] == ""
    assert found[1] == ", 5 images/s, about 18 s left"
    assert found[5] == ", 5 images/s, about 10 s left"
    assert stages.share == 0.9
    clock.now += 1  # nothing is told: what is left is less all the same
    assert stages.details() == ", 5 images/s"


def test_a_stage_that_goes_on_where_it_was_stopped_has_the_pace_of_this_run(clock):
    stages = Stages(clock)
    stages.hear(counted("x", 900, 1000, "images"))
    clock.now += 10
    stages.hear(counted("x", 910, 1000, "images"))
    assert stages.details() == ", 1 images/s, about 90 s left"


def test_another_stage_begins_anew(clock):
    stages = Stages(clock)
    stages.hear(counted("one", 0, 10, "images"))
    clock.now += 10
    stages.hear(counted("one", 5, 10, "images"))
    stages.hear(counted("two", 5, 10, "images"))
    assert stages.details() == ""
    stages.hear("three")
    assert (stages.share, stages.details()) == (None, "")


def test_a_text_that_knows_what_is_left_is_not_given_another_guess(clock):
    stages = Stages(clock)
    for done in (0, 1):
        stages.hear(Counted("4 minutes left", done, 2, stage="x", tells_left=True))
        clock.now += 10
    assert (stages.share, stages.details()) == (0.5, "")


def log(clock, texts, every=0.5):
    """The lines of a log, and when each came, where a text is told every half second."""
    found = []
    began = clock.now
    lines = LogLines(lambda line: found.append((clock.now - began, line)), clock)
    for text in texts:
        lines.hear(text)
        clock.now += every
    return found


def test_what_is_over_soon_has_no_line(clock):
    assert log(clock, ["loading"] * 10) == []


def test_lines_are_further_apart_the_longer_a_stage_lasts(clock):
    found = log(clock, [counted("calibrating", number, 2000, "images") for number in range(1000)])
    times = [time for time, _ in found]
    assert times == [5, 15, 35, 75, 135, 195, 255, 315, 375, 435, 495]
    assert found[0][1] == "calibrating: 10/2000 images, 2 images/s, about 16.6 minutes left (0:05)"
    assert found[-1][1] == "calibrating: 990/2000 images, 2 images/s, about 8.4 minutes left (8:15)"


def test_a_new_stage_has_a_line_at_once_but_not_each_of_many(clock):
    texts = ["one"] * 24 + ["two"] * 24 + [f"many {number}" for number in range(3000)]
    found = log(clock, texts)
    assert found[:3] == [(5, "one (0:05)"), (12, "two (0:12)"), (22, "two (0:22)")]
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(found[3:])]
    assert gaps == sorted(gaps)
    assert (gaps[0], gaps[-1]) == (5, 60)


def test_where_nothing_is_told_the_log_lives(clock):
    found = []
    lines = LogLines(found.append, clock)
    lines.hear("compiling")
    for _ in range(4):
        clock.now += lines.look()
    assert lines.look() > 0
    assert found == ["compiling (0:05)", "compiling (0:15)", "compiling (0:35)", "compiling (1:15)"]


SLOW = """
import sys, time
from resnas_deploy.cli import app, output, progress as shown
from resnas_deploy.progress import counted
shown.FIRST_S = 0.2

way = sys.argv.pop()

def archs():
    with output.progress(spinner=way != "timed") as show:
        for number in range(12):
            show(counted("waiting", number, 12, "turns"))
            time.sleep(0.05)
    output.print_json({"done": 12})

app.app.registered_commands[0].callback = archs
app.main()
"""


def slow(way, *options, **environment):
    """A command that waits for half a second, with its stdout and stderr in pipes."""
    environment = {**os.environ, "RESNAS_QUIET": "", **environment}
    command = [sys.executable, "-c", SLOW, *options, "archs", way]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("way", ["untimed", "timed"])
def test_a_log_has_lines_and_stdout_has_none(way):
    done = slow(way, FORCE_COLOR="1")
    assert json.loads(done.stdout) == {"done": 12}
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.startswith("resnas: waiting: ") and "\x1b" not in line for line in lines)


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (["--quiet"], {}),
        ([], {"RESNAS_QUIET": "1"}),
        pytest.param([], {"RANK": "1", "WORLD_SIZE": "2"}, marks=pytest.mark.slow),
    ],
)
def test_quiet(options, environment):
    done = slow("untimed", *options, **environment)
    assert (json.loads(done.stdout), done.stderr) == ({"done": 12}, "")


def test_a_command_takes_quiet_at_its_end_and_errors_remain(refused):
    assert "none" in refused("verify", "none", "--quiet")


def test_quiet_lasts_for_one_command(resnas):
    resnas("archs", "--quiet")
    assert is_quiet()
    os.environ["RESNAS_QUIET"] = ""
    try:
        resnas("archs")
        assert not is_quiet()
    finally:
        os.environ["RESNAS_QUIET"] = "1"


def test_a_terminal_has_one_line_that_ends_with_what_is_left_and_goes():
    seen = on_a_terminal(
        "archs", "untimed", columns=60, script=("-c", SLOW.replace("0.05", "0.12").replace(", 12,", ", 120,"))
    )
    shown = [part for part in CODE.sub(b"", seen.sent).split(b"\r") if b"waiting" in part]
    assert any(b" left .." in part for part in shown)
    assert all(len(part.decode()) <= 60 and b"\n" not in part for part in shown)
    assert not any("waiting" in line for line in seen.lines)
    assert seen.code == 0


@pytest.mark.parametrize(
    "environment", [{"TERM": None}, pytest.param({"TERM": "dumb", "FORCE_COLOR": "1"}, marks=pytest.mark.slow)]
)
def test_a_dumb_terminal_is_sent_no_codes(environment):
    seen = on_a_terminal("archs", "untimed", script=("-c", SLOW), **environment)
    assert b"resnas: waiting: " in seen.sent
    assert b"\x1b" not in seen.sent


def test_what_is_for_stdout_goes_there_while_a_line_is_on_the_terminal():
    """As `verify --json` prints what it found of a network that is wrong."""
    inside = SLOW.replace('    output.print_json({"done": 12})', '        output.print_json({"done": 12})')
    seen = on_a_terminal("archs", "untimed", script=("-c", inside), pipe=True)
    assert json.loads(seen.out) == {"done": 12}
