"""SIGINT, SIGTERM and SIGHUP at stages that are seen: their exit code, one line, and nothing is left of the command."""

from __future__ import annotations

import json
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from support.little_engine import exported, needs_builder
from support.processes import gone, is_alive, worker_of
from support.signalled_commands import ENDING, appears, imported, running

NUMBERS = tuple(ENDING)
allow_ctrl_c = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # what runs in the background may not


@pytest.fixture
def arch(tiny, tmp_path):
    """An architecture whose images are large: its export takes a while."""
    path = tmp_path / "arch.json"
    path.write_text(json.dumps(json.loads((tmp_path / tiny).read_text()) | {"image_size": 560}))
    return path


@pytest.fixture
def ended(tmp_path):
    """A function: a signal meets a command at a stage, and what it leaves has names that begin with `kept`."""

    def run(number, stage, *arguments, kept=(), notes=(), trains=False):
        with running(tmp_path / "work", *arguments, before=allow_ctrl_c) as command:
            command.wait_for(stage)
            children = command.descendants()
            code, out, err = command.end(number)
            if trains:  # what it needs, in figures
                assert err.pop(0).startswith("resnas: memory: ")
            assert (code, err) == (128 + number, [*notes, f"resnas: {ENDING[number]}"]), out
            gone(children)
            assert command.left() == []
            assert [path.name for path in command.folder.iterdir() if not path.name.startswith(kept)] == []
        return out

    return run


@pytest.mark.parametrize(
    ("number", "library"),
    [
        (signal.SIGTERM, "numpy"),
        pytest.param(signal.SIGHUP, "onnx/", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "libtorch_cpu", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "onnxruntime", marks=pytest.mark.slow),
    ],
)
def test_while_libraries_are_imported(ended, arch, number, library):
    """In half precision, of which the command itself computes the reference: it imports PyTorch too."""
    ended(number, imported(library), "export", "--arch", arch, "--precision", "fp16", "--out", "out")


def test_before_anything_is_imported(ended, arch):
    """As soon as the handlers are there."""

    def handled(command):
        caught = Path(f"/proc/{command.process.pid}/status").read_text().partition("SigCgt:")[2].split()[0]
        return int(caught, 16) & 1 << signal.SIGTERM - 1

    ended(signal.SIGTERM, handled, "export", "--arch", arch, "--out", "out")


@pytest.mark.parametrize("number", NUMBERS)
def test_an_export(ended, arch, number):
    ended(number, appears("a/.*.partial"), "export", "--arch", arch, "--out", "a/out")


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_a_calibration(ended, arch, number):
    options = ("--precision", "int8", "--calibration-images", "64", "--out", "out")
    ended(number, appears("resnas-calibration-*", "temporary"), "export", "--arch", arch, *options)


@needs_builder
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_build(ended, tmp_path, number):
    artifact = exported(tmp_path / "little")
    ended(number, lambda command: worker_of(command.process.pid), "build", artifact.folder)
    assert list((artifact.folder / "engines").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_training_with_workers_says_how_to_go_on(ended, tmp_path, number):
    arguments = ("train", "supernet", "--space", "demo", "--data", "demo", "--workers", 2, "--save-every", 1)
    ended(
        number,
        appears("run/state.safetensors"),
        *arguments,
        "--out",
        "run",
        kept="run",
        trains=True,
        notes=["resnas: note: run keeps what was saved; the same command with --resume goes on from there"],
    )
    assert (tmp_path / "work" / "run" / "state.safetensors").exists()


@pytest.mark.slow
@pytest.mark.parametrize("number", NUMBERS)
def test_workers_of_an_evaluation(ended, number):
    arguments = ("train", "subnet", "--arch", "tiny", "--data", "demo", "--workers", 2, "--profile-input", "--out", "o")
    ended(number, lambda command: len(command.descendants()) >= 4, *arguments)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_latency_profile(ended, number):
    arguments = ("latency", "profile", "--space", "demo", "--networks", 42, "--store", "latency.sqlite")
    ended(number, appears("resnas-*/*.onnx", "temporary"), *arguments, kept="latency.sqlite")


@pytest.mark.parametrize("number", [signal.SIGHUP, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_what_a_parent_has_chosen_to_ignore_is_ignored(tmp_path, arch, number):
    """As `nohup` does with SIGHUP, and a shell with SIGINT for what it runs in the background."""
    ignore = partial(signal.signal, number, signal.SIG_IGN)
    with running(
        tmp_path / "work", "export", "--arch", arch, "--image-size", "224", "--out", "out", before=ignore
    ) as command:
        command.wait_for(appears(".*.partial"))
        code, out, err = command.end(number)
    assert (code, err) == (0, [])
    assert "next: resnas predict out" in out


def test_a_second_signal_does_not_break_the_cleaning_up(tmp_path, arch):
    with running(tmp_path / "work", "export", "--arch", arch, "--out", "out", before=allow_ctrl_c) as command:
        command.wait_for(appears(".*.partial/*/model.onnx"))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM) * 5:
            if is_alive(command.process.pid):
                command.process.send_signal(number)
        code, _, err = command.end(signal.SIGTERM)
        assert err == [f"resnas: {ENDING[signal.Signals(code - 128)]}"]
        assert list(command.folder.iterdir()) == command.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_at_any_moment(tmp_path, tiny, seed):
    """Moments spread over the time that the command takes here: nothing, or all of it."""
    arguments = ("export", "--arch", tmp_path / tiny, "--out", "out")
    began = time.monotonic()
    with running(tmp_path / "first", *arguments) as command:
        command.process.communicate(timeout=240)
    seconds, drawn = time.monotonic() - began, random.Random(seed)
    stopped = 0
    for turn in range(8):
        number = drawn.choice(NUMBERS)
        with running(tmp_path / f"work{turn}", *arguments, before=allow_ctrl_c) as command:
            time.sleep(seconds * (0.1 + 0.9 * (turn + drawn.random()) / 8))  # Python starts within a tenth
            code, _, err = command.end(number)
            if code == 0:
                assert [path.name for path in command.folder.iterdir()] == ["out"]
                assert err == []
            else:
                assert (code, err) == (128 + number, [f"resnas: {ENDING[number]}"])
                assert list(command.folder.iterdir()) == []
                stopped += 1
            assert command.left() == []
    assert stopped
