"""Ctrl-C at a terminal, which reaches a command and all that it started: one line, 130, and nothing is left."""

from __future__ import annotations

import json
import os
import time

import pytest
from support.little_engine import exported, needs_builder
from support.places import DEMO, IMAGES
from support.processes import below, gone
from support.signalled_commands import CACHES
from support.terminal import typed

LAST = "resnas: interrupted"
RESUMABLE = "resnas: note: {} keeps what was saved; the same command with --resume goes on from there"


@pytest.fixture
def folder(tmp_path, tiny, cache_home):
    """Where commands run: an architecture with large images, and an artifact of a trained network beside."""
    arch = tmp_path / "large.json"
    arch.write_text(json.dumps(json.loads((tmp_path / tiny).read_text()) | {"image_size": 560}))
    return tmp_path


@pytest.fixture
def pressed(folder, cache_home):
    """A function: Ctrl-C is pressed once a command shows a text; returns the lines that stay on the terminal."""

    def run(text, *arguments, keeps=(), times=1, code=130, **environment):
        before = {path.name for path in folder.iterdir()}
        temporary = folder / "temporary"
        temporary.mkdir()
        environment = {"TMPDIR": str(temporary), "XDG_CACHE_HOME": str(cache_home), **environment}
        with typed(*arguments, cwd=folder, **environment) as command:
            command.wait_for(text)
            children = below(command.process.pid)
            for _ in range(times):
                command.press_ctrl_c()
                time.sleep(0.05 * (times > 1))
            seen = command.end()
            gone(children)
        lines = [line for line in (line.replace("^C", "") for line in seen.lines) if line.strip()]
        assert not [line for line in lines if "Traceback" in line], "\n".join(lines)
        assert seen.code == code, lines
        assert seen.sent.rfind(b"\x1b[?25h") >= seen.sent.rfind(b"\x1b[?25l")  # the cursor is there again
        left = {path.name for path in folder.iterdir()} - before - {"temporary"}
        assert left == set(keeps)
        assert [path for path in temporary.iterdir() if not path.name.startswith(CACHES)] == []
        return lines

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("loading", 1),
        pytest.param("running the graph", 1, marks=pytest.mark.slow),
        ("computing the reference", 3),
    ],
)
def test_an_export(pressed, text, times):
    assert pressed(text, "export", "--arch", "large.json", "--out", "out", times=times) == [LAST]


@pytest.mark.slow
def test_a_calibration(pressed):
    arguments = ("export", "--arch", "large.json", "--precision", "int8", "--calibration-images", 64, "--out", "out")
    assert pressed("calibrating: ", *arguments) == [LAST]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["checking the files", "running the graph", "computing the reference"])
def test_a_verification(pressed, mini_artifact, text):
    assert pressed(text, "verify", mini_artifact) == [LAST]


@pytest.mark.slow
def test_predictions(pressed, mini_artifact):
    assert pressed("loading", "predict", mini_artifact, *[IMAGES] * 500)[-1] == LAST


@pytest.mark.slow
@pytest.mark.parametrize("text", ["opening 1 of 6, loading", "warm-up"])
def test_a_benchmark_before_anything_counts(pressed, mini_artifact, text):
    lines = pressed(text, "bench", mini_artifact, "--batch", 1, "--runs", 100_000)
    assert lines[-1] == LAST


@pytest.mark.slow
@pytest.mark.parametrize("command", ["bench", pytest.param("compare", marks=pytest.mark.slow)])
def test_a_measurement_prints_what_there_is(pressed, mini_artifact, command):
    artifacts = [mini_artifact] * (1 + (command == "compare"))
    lines = pressed("round 3 of", command, *artifacts, "--batch", 1, "--runs", 100_000, "--openings", 2)
    assert len(lines) > 2
    assert lines[-1] == LAST


@needs_builder
@pytest.mark.slow
@pytest.mark.parametrize("command", ["build", "kernels"])
def test_a_build(pressed, folder, command):
    artifact = exported(folder / "little")
    given = (artifact.folder,) if command == "build" else ("--arch", "large.json")
    assert pressed("building the engine", command, *given) == [LAST]
    assert not list(artifact.folder.glob("engines/*"))


@pytest.mark.slow
@pytest.mark.parametrize("text", ["loading", "epoch 1 of"])
def test_training_with_workers(pressed, text):
    arguments = ("train", "supernet", "--space", "demo", "--data", "demo", "--workers", 2, "--out", "run")
    lines = pressed(text, *arguments, keeps={"run"} if text != "loading" else ())
    assert lines[-2:] == [RESUMABLE.format("run"), LAST]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["reading the data", "evaluating: "])
def test_an_evaluation_with_workers(pressed, text):
    assert pressed(text, "train", "evaluate", DEMO, "--data", "demo", "--workers", 2)[-1] == LAST


@pytest.mark.slow
def test_an_evaluation_of_an_artifact(pressed, resnas):
    resnas("export", "--checkpoint", DEMO, "--out", "trained")
    assert pressed("evaluating: ", "evaluate", "trained", "--data", "demo") == [LAST]


@pytest.mark.slow
def test_a_survey_of_a_gpu_reports_what_there_is(pressed):
    lines = pressed("minutes left", "gpu-report", "--out", "there", "--minutes", 3, "--device", "cpu", keeps={"there"})
    assert "resnas: note: interrupted: the same command goes on from there" in lines
    assert lines[-1] == LAST


@pytest.mark.slow
@pytest.mark.parametrize("text", ["opening the store", " of 42 networks: "])
def test_a_latency_profile(pressed, text):
    keeps = {"store.sqlite", "store.sqlite.lock"} if "networks" in text else ()
    arguments = ("latency", "profile", "--space", "demo", "--networks", 42, "--store", "store.sqlite")
    lines = pressed(text, *arguments, keeps=keeps)
    assert lines[-1] == LAST


@pytest.mark.slow
def test_a_shaping_shows_what_there_is_and_writes_no_space(pressed):
    arguments = ("space", "shape", "--space", "demo", "--runner", "ort-cpu", "--store", "store.sqlite")
    keeps = {"store.sqlite", "store.sqlite.lock"}
    lines = pressed(", opening 2 of 4", *arguments, "--out", "mine.toml", keeps=keeps)
    assert lines[-1] == LAST
    assert any("lists stay as they were, for it was interrupted" in line for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(os.cpu_count() == 1, reason="needs a core for the test")
def test_a_second_ctrl_c_while_a_library_is_imported(pressed):
    assert pressed("starting", "export", "--arch", "large.json", "--out", "out", times=20) == [LAST]
