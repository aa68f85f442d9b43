"""`resnas latency`: profile, predict and check, on a space of networks that run in a millisecond."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.mini_space import EIGHT, MINI, drawn, measured, truth
from support.places import SUPPORT

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency import anchored
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, subnets
from resnas_deploy.measuring.latency.regression import least_networks
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.timing import WarmUp
from resnas_deploy.processes.resources import Throttling
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.space_files import packaged_spaces

LEAST = least_networks(Terms(3))
OPTIONS = ("--runner", "ort-cpu", "--threads", "1", "--store", "s.sqlite")
SPACE = ("--space", "mini")
RESNAS = Path(sys.executable).with_name("resnas")
PROGRAM = SUPPORT / "mini_space.py"


@pytest.fixture(autouse=True)
def mini(monkeypatch, tmp_path):
    """The space, and rounds that are few."""
    monkeypatch.setitem(packaged_spaces(), "mini", MINI)
    monkeypatch.setitem(packaged_spaces(), "eight", EIGHT)
    monkeypatch.setattr(anchored, "LEAST_ROUNDS", 3)
    monkeypatch.setattr(anchored, "MOST_ROUNDS", 3)
    monkeypatch.setattr(anchored, "WARM", WarmUp(window=1, tolerance=0.5, most=2))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def setting(precision="fp32", batch=1, runner="ort-cpu"):
    return Setup(RUNNERS[runner], precision, batch, 1).setting()


def filled(path, networks, purpose=PROFILE, repeat=0):
    """A store with made-up measurements."""
    with LatencyStore(path) as store:
        store.add(setting(), MINI, purpose, repeat, measured(networks, truth()))


@pytest.fixture
def profiled(tmp_path):
    filled(tmp_path / "s.sqlite", subnets(MINI, PROFILE, 60))
    return tmp_path / "s.sqlite"


@pytest.fixture
def found(tmp_path):
    """The file of a network of the space."""
    (tmp_path / "found.json").write_text(json.dumps(drawn(MINI, 1, seed=3)[0].to_json()))
    return "found.json"


def test_profile_goes_on_where_it_was_and_says_what_is_next(resnas, tmp_path):
    filled(tmp_path / "s.sqlite", subnets(MINI, PROFILE, LEAST - 2))
    done = resnas("latency", "profile", *SPACE, *OPTIONS, "--networks", LEAST)
    assert f"{LEAST} networks of the space mini ({LEAST - 2} were measured before)" in done.out
    rest = "--runner ort-cpu --precision fp32 --batch 1 --threads 1 --store s.sqlite"
    assert f"next: resnas latency check --space mini {rest}\n" in done.out
    assert f"or: resnas latency predict --arch FILE {rest}\n" in done.out
    assert done.err == ""
    with LatencyStore(tmp_path / "s.sqlite") as store:
        kept = [item.arch for item in store.networks(setting(), MINI, PROFILE)]
    assert kept == subnets(MINI, PROFILE, LEAST)
    again = resnas("latency", "profile", *SPACE, *OPTIONS, "--networks", LEAST, "--json").json
    assert (again["networks"], again["measured_now"]) == (LEAST, 0)
    assert again["setting"]["threads"] == 1
    assert set(again) == {"space", "setting", "networks", "measured_now", "seconds", "anchor_ms", "mape", "interval"}


def test_a_quota_that_throttled_is_told(resnas, tmp_path, monkeypatch):
    """Of the control group, whose counters go on from look to look."""
    counted = itertools.count()
    monkeypatch.setattr(
        "resnas_deploy.measuring.machine.observation.throttling", lambda root: Throttling(7 * next(counted), None)
    )
    filled(tmp_path / "s.sqlite", subnets(MINI, PROFILE, LEAST))
    done = resnas("latency", "profile", *SPACE, *OPTIONS, "--networks", LEAST)
    assert done.err == "resnas: note: throttled: the control group's CPU quota was used up in 7 periods\n"


def test_a_smaller_count_keeps_the_model_of_all(resnas, profiled):
    assert resnas("latency", "profile", *SPACE, *OPTIONS, "--networks", LEAST, "--json").json["networks"] == 60


def test_predict(resnas, profiled, found):
    before = profiled.read_bytes()
    done = resnas("latency", "predict", "--arch", found, "--arch", found, *OPTIONS, "--json").json
    first, second = done["predictions"]
    assert first == second
    assert (first["arch"], first["space"]) == (found, "mini")
    (expected,) = measured(drawn(MINI, 1, seed=3), truth())
    assert first["ms"] == pytest.approx(2 * expected.ratio, rel=1e-4)
    assert first["low_ms"] <= first["ms"] <= first["high_ms"]
    shown = resnas("latency", "predict", "--arch", found, *OPTIONS).out
    assert f"{first['ms']:.1f}" in shown
    assert "95% interval" in shown
    assert profiled.read_bytes() == before


def test_check(resnas, profiled, tmp_path):
    archs = [item.arch for item in LatencyStore(profiled).networks(setting(), MINI, PROFILE)]
    done = resnas("latency", "check", *SPACE, *OPTIONS, "--subnets", 3, "--out", "c.json", "--plot", "c.svg", "--json")
    assert done.json == json.loads((tmp_path / "c.json").read_text())
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")
    assert [item["predictor"] for item in done.json["accuracies"]] == ["latency model", "MACs", "parameters"]
    assert not {arch.fingerprint for arch in archs} & set(done.json["networks"])
    assert len(done.json["networks"]) == 3
    shown = resnas("latency", "check", *SPACE, *OPTIONS, "--subnets", 3, "--plot", "c.html").out  # measured by now
    for word in ("MAPE", "worst", "Spearman", "Kendall", "latency model", "MACs", "parameters", "written: c.html"):
        assert word in shown


def test_a_check_that_cannot_be_kept_is_printed_all_the_same(resnas, profiled, monkeypatch):
    def full(*_):
        raise BadInput("s.sqlite cannot be read or written: the disk is full; free some space")

    monkeypatch.setattr(LatencyStore, "add", full)
    done = resnas("latency", "check", *SPACE, *OPTIONS, "--subnets", "8", code=2)
    assert "Spearman" in done.out
    assert done.err.endswith("resnas: s.sqlite cannot be read or written: the disk is full; free some space\n")


def test_check_never_takes_a_network_of_the_profile(resnas, tmp_path):
    """The profile happens to hold the networks that a check would take first."""
    first = subnets(MINI, CHECK, 3)
    filled(tmp_path / "s.sqlite", [*subnets(MINI, PROFILE, 60), *first])
    done = resnas("latency", "check", *SPACE, *OPTIONS, "--subnets", 2, "--json").json
    assert not {arch.fingerprint for arch in first} & set(done["networks"])


def test_no_profile_yet(refused, found):
    for command in (["predict", "--arch", found], ["check", *SPACE]):
        line = refused("latency", *command, *OPTIONS)
        assert "s.sqlite must hold a profile of the space mini on ort-cpu" in line
        assert "found none; run: resnas latency profile --space mini --runner ort-cpu" in line
        assert line.endswith("--threads 1 --store s.sqlite")


def test_no_profile_of_that_setting_says_which_there_are(refused, profiled, found):
    line = refused("latency", "predict", "--arch", found, *OPTIONS, "--batch", "8")
    assert "batch 8, 1 threads, found mini on ort-cpu" in line
    assert "fp32, batch 1, 1 threads; run: resnas latency profile" in line


def test_the_user_has_a_store_of_their_own(refused, found, tmp_path):
    assert f"{tmp_path}/data/resnas/latency.sqlite must hold" in refused("latency", "predict", "--arch", found)


def test_a_network_of_no_space(refused, profiled, tiny):
    line = refused("latency", "predict", "--arch", tiny, *OPTIONS)
    assert "tiny.json must be a network of a search space (tiny, small, demo, mini, eight)" in line


@pytest.mark.parametrize("command", ["profile", "check"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--space", "large"],
            "--space must be one of tiny, small, demo, mini, eight, a TOML file or a supernet, found 'large'",
        ),
        (["--runner", "abacus"], "abacus"),
        (["--precision", "int4"], "--precision must be one of fp32, fp16, bf16, int8, fp8, found 'int4'"),
        (["--precision", "int8", "--runner", "torch"], "the runner torch must have kernels for int8"),
        (["--image-size", "100"], "image_size must be"),
        (["--image-size", "0"], "Invalid value for '--image-size'"),
        (["--device", "tpu", "--runner", "ort-cpu"], "tpu"),
        (["--batch", "0"], "Invalid value for '--batch'"),
        (["--batch", "-1"], "Invalid value for '--batch'"),
        (["--batch", "4097"], "Invalid value for '--batch'"),
        (["--batch", "many"], "Invalid value for '--batch'"),
        (["--threads", "-1"], "Invalid value for '--threads'"),
        (["--speed"], "No such option: --speed"),
        (["much"], "unexpected extra argument"),
        (["--store", "."], "must be a file"),
    ],
)
def test_wrong_usage_is_one_line_and_makes_no_file(refused, command, arguments, said):
    assert said in refused("latency", command, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["profile", "--networks", "0"], "Invalid value for '--networks'"),
        (["profile", "--networks", "-5"], "Invalid value for '--networks'"),
        (["profile", "--networks", LEAST - 1], f"--networks must be {LEAST} or more"),
        (["profile", "--space", "eight"], "the space eight must have 120 networks or more, found 8"),
        (["check", "--subnets", "0"], "Invalid value for '--subnets'"),
        (["check", "--subnets", "1"], "Invalid value for '--subnets'"),
        (["check", "--plot", "c.pdf"], "a plot must end in"),
        (["check", "--out", "."], "must be a file's name"),
        (["check", "--out", "nowhere/c.json"], "must lie in a folder that is there"),
        (["predict"], "Missing option '--arch'; see: resnas latency predict --help"),
        (["predict", "--arch", "huge"], "an architecture must be tiny, small, medium or a file"),
        (["guess"], "No such command 'guess'"),
    ],
)
def test_more_wrong_usage(refused, arguments, said):
    assert said in refused("latency", *arguments)


def test_a_corrupt_store_is_named_and_left(refused, tmp_path, found):
    for content in (b"", b"no database", b"SQLite format 3\0" + bytes(5000)):
        (tmp_path / "s.sqlite").write_bytes(content)
        for command in (["predict", "--arch", found], ["check", *SPACE], ["profile", *SPACE]):
            line = refused("latency", *command, *OPTIONS)
            assert line.startswith("resnas: s.sqlite must be a latency store")
            assert "nothing was changed" in line


def test_a_store_from_the_future_is_named_and_left(refused, profiled, found):
    database = sqlite3.connect(profiled)
    database.execute("PRAGMA user_version = 7")
    database.close()
    for command in (["predict", "--arch", found], ["check", *SPACE], ["profile", *SPACE]):
        assert "must have schema 2 or less, found 7; use a newer resnas" in refused("latency", *command, *OPTIONS)


def test_a_second_profiling_is_refused(refused, profiled):
    with LatencyStore(profiled) as store, store.measuring():
        for command in ("profile", "check"):
            line = refused("latency", command, *SPACE, *OPTIONS)
            assert "another one is measuring for s.sqlite; start again when it has ended" in line


@pytest.mark.slow
def test_ctrl_c_keeps_the_groups_before_it_and_a_second_call_goes_on(tmp_path):
    """The whole command in a process of its own."""
    path, all_networks = tmp_path / "s.sqlite", subnets(MINI, PROFILE, LEAST)
    there = LEAST - 4 * anchored.GROUP
    filled(path, all_networks[:there])
    command = [
        sys.executable,
        str(PROGRAM),
        "latency",
        "profile",
        *SPACE,
        *OPTIONS,
        "--networks",
        str(LEAST),
    ]
    environment = {**os.environ, "COLUMNS": "80"}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 300
        while kept(path) == there:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert (process.returncode, out, err) == (130, "", "resnas: interrupted\n")
    now = kept(path)  # on a busy machine the next group may have been measured before the signal came
    assert there < now < LEAST
    assert (now - there) % anchored.GROUP == 0
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{LEAST} networks of the space mini ({now} were measured before)" in done.stdout


def kept(path):
    with LatencyStore(path) as store:
        return len(store.networks(setting(), MINI, PROFILE))


def test_the_command_of_a_hint_can_be_given_to_a_shell(refused, found):
    """Whatever the store is called, and with what was given of threads and device alone."""
    given = ("--runner", "ort-cpu", "--threads", "2", "--device", "cpu", "--store", "a folder/it's.sqlite")
    line = refused("latency", "predict", "--arch", found, *given)
    words = shlex.split(line.partition("run: resnas ")[2])
    assert words[:4] == ["latency", "profile", "--space", "mini"]
    assert words[-6:] == ["--threads", "2", "--device", "cpu", "--store", "a folder/it's.sqlite"]
    usual = refused("latency", "predict", "--arch", found, "--runner", "ort-cpu")
    assert usual.endswith("--space mini --runner ort-cpu --precision fp32 --batch 1")


@pytest.mark.parametrize(
    ("command", "option", "begun", "expected"),
    [
        ("profile", "--space", "s", "small"),
        ("check", "--runner", "ort-cp", "ort-cpu"),
        ("check", "--precision", "b", "bf16"),
        ("predict", "--arch", "med", "medium"),
        ("predict", "--device", "cp", "cpu"),
        ("profile", "--space", "d", "demo"),
        ("check", "--precision", "fp1", "fp16"),
    ],
)
def test_the_shell_completes_the_values_of_options(command, option, begun, expected):
    words = f"resnas latency {command} {option} {begun}"
    environment = {**os.environ, "_RESNAS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "4"}
    done = subprocess.run([RESNAS], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == [expected]
