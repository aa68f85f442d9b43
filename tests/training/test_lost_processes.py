"""Of processes that train together one may end, or what started them: the others end too, with a line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch.distributed as dist
from support.places import SUPPORT
from support.processes import PATIENCE, below, gone, is_alive, wait_for
from support.small_data import write_folder
from support.training_commands import ENVIRONMENT

from resnas_deploy.processes import ending
from resnas_deploy.training import lost_processes as module

RECIPE = "epochs = 100000\nbatch = 8\ngroup = 4\nlearning_rate = 0.1\nwarm_up_epochs = 1\n"


@pytest.fixture
def command(tmp_path):
    """A training run that never ends, as a program's arguments."""
    (tmp_path / "recipe.toml").write_text(RECIPE)
    options = ("--space", "little", "--recipe", tmp_path / "recipe.toml", "--data", write_folder(tmp_path / "data"))
    return [str(SUPPORT / "small_data.py"), "train", "supernet", *map(str, options), "--out", str(tmp_path / "run")]


def is_training(folder):
    return (folder / "run" / "metrics.jsonl").exists() and (folder / "run" / "metrics.jsonl").read_text().count(
        "\n"
    ) > 2


def said_of(number):
    return Path(f"/proc/{number}/cmdline").read_text()


@dataclass(frozen=True)
class Ended:
    """How a rank ended: its exit code, and what it said last."""

    code: int
    lines: list[str]


def two(command, act, stage):
    """How two ranks end, the first of them first, of which `act` does something to them once it is the stage."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        subprocess.Popen(
            [sys.executable, *command],
            env=ENVIRONMENT | both | {"RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        if act:
            wait_for(stage, lambda: all(rank.poll() is None for rank in ranks))
            act(ranks)
        said = [rank.communicate(timeout=PATIENCE)[1] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
            rank.stderr.close()
    assert "Traceback" not in "".join(said)
    return [
        Ended(rank.returncode, [line for line in err.splitlines() if line.startswith("resnas: rank ")])
        for rank, err in zip(ranks, said, strict=True)
    ]


LOST = "resnas: rank 0: the processes that train together must all be there, found rank 1 has ended: "
REMEDY = "; start them again, with --resume to go on from what was saved"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "reason", "code"),
    [
        (signal.SIGKILL, "it left no word, as where it was killed (kill -9, or memory that runs out)", -9),
        (signal.SIGTERM, "ended by SIGTERM", 143),
    ],
)
def test_a_process_whose_peer_is_ended_says_which_and_why_and_ends(command, tmp_path, number, reason, code):
    first, second = two(command, lambda ranks: ranks[1].send_signal(number), lambda: is_training(tmp_path))
    assert (first.code, first.lines) == (2, [LOST + reason + REMEDY])
    assert (second.code, second.lines) == (code, ["resnas: rank 1: ended by SIGTERM"] if code > 0 else [])


@pytest.mark.slow
def test_a_worker_that_dies_ends_its_process_and_the_other(command, tmp_path):
    def kill(ranks):
        os.kill(next(number for number in below(ranks[1].pid) if "spawn_main" in said_of(number)), signal.SIGKILL)

    first, second = two([*command, "--workers", "1"], kill, lambda: is_training(tmp_path))
    assert (first.code, second.code) == (2, 2)
    reason = "an image worker was ended by SIGKILL, as happens where memory runs out"
    assert first.lines[0].startswith(LOST + reason)
    assert second.lines[0].startswith(f"resnas: rank 1: {reason}")


@pytest.mark.slow
def test_an_image_that_one_of_them_cannot_read(command, tmp_path):
    (tmp_path / "data" / "train" / "red" / "0.png").write_bytes(b"broken")
    ends = two(command, None, None)
    (met,) = (rank for rank, end in enumerate(ends) if "the processes that train together" not in end.lines[0])
    said = "0.png' must be an image"
    assert [end.code for end in ends] == [2, 2]
    assert ends[met].lines[0].startswith(f"resnas: rank {met}: '")
    assert f"found rank {met} has ended: '" in ends[1 - met].lines[0]
    assert all(said in end.lines[0] for end in ends)


@pytest.mark.slow
def test_what_is_wrong_for_all_is_said_once(command):
    ends = two([*command, "--set", "batch=12"], None, None)
    assert [end.code for end in ends] == [2, 2]
    (line,) = [line for end in ends for line in end.lines]
    assert "must be a multiple of the processes, found 2" in line


# `resnas` in which rank 1 computes NaN in the fifth step.
SPOILED = """
import math, os
from support.small_data import SPACE
from resnas_deploy.weights.space_files import packaged_spaces
from resnas_deploy.cli.app import main
from resnas_deploy.training import passes
packaged_spaces()[SPACE.name] = SPACE
original, calls = passes.token_label_loss, []
def spoiled(*arguments):
    calls.append(1)
    return original(*arguments) * (math.nan if os.environ["RANK"] == "1" and len(calls) == 5 else 1.0)
passes.token_label_loss = spoiled
main()
"""


@pytest.mark.slow
def test_nan_in_one_of_them_is_said_once_and_where(command):
    ends = two(["-c", SPOILED, *command[1:]], None, None)
    assert [end.code for end in ends] == [2, 2]
    (line,) = [line for end in ends for line in end.lines]
    assert "the loss must stay finite, found nan at step 5 of " in line
    assert " (first in the part of rank 1); what was saved before is kept" in line


@pytest.mark.slow
def test_ctrl_c_reaches_all(command, tmp_path):
    def press(ranks):
        for rank in ranks:
            rank.send_signal(signal.SIGINT)

    ends = two(command, press, lambda: is_training(tmp_path))
    assert [(end.code, end.lines) for end in ends] == [
        (130, [f"resnas: rank {rank}: interrupted"]) for rank in range(2)
    ]


@pytest.fixture
def store():
    """Where processes meet, with one beside this that is none of ours, as rank 1."""
    found = dist.HashStore()
    with subprocess.Popen(["sleep", "1000"]) as other:
        found.append(f"resnas/machine/{module._machine()}", f"1 {other.pid} {module.here.started(other.pid)};")
        ours = module.Peers(found, 0)
        ours.complete()
        yield found, ours, other
        other.kill()


def test_one_that_is_gone_is_lost_unless_it_said_that_it_was_done(store):
    shared, ours, other = store
    assert ours.loss() is None
    other.kill()
    other.wait()
    shared.set("resnas/done/1", "1")
    assert ours.loss(0.1) is None
    shared.delete_key("resnas/done/1")
    assert str(ours.loss()) == f"rank 1 has ended: {module._NO_WORD}"


def test_the_first_loss_counts(store):
    shared, ours, _ = store
    assert module.Peers(shared, 2).tell(module.Loss(2, "no\n space")) == module.Loss(2, "no space")
    assert ours.tell(module.Loss(0, "Connection closed")) == module.Loss(2, "no space")


def test_one_that_is_ended_while_it_finds_out_who_was_lost_says_it(store):
    """torchrun sends SIGTERM to the others as soon as one has ended."""
    _, ours, other = store

    def lost():
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        other.kill()
        other.wait()

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    lines = ending._state.last_words
    try:
        threading.Thread(target=lost).start()
        with pytest.raises(KeyboardInterrupt), module.telling(ours):
            raise RuntimeError("Connection closed by peer")
        assert lines == [f"rank 1 has ended: {module._NO_WORD}"]
    finally:
        lines.clear()
        signal.signal(signal.SIGTERM, before)


def test_one_that_does_not_notice_is_interrupted(store, monkeypatch):
    """As where it waits in a call into C for what the other would have sent; the command ends itself then."""
    for name in ("_LOOK_S", "_PATIENCE_S"):
        monkeypatch.setattr(module, name, 0.05)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    store[2].kill()
    try:
        with pytest.raises(KeyboardInterrupt), module.watched(store[1]):
            time.sleep(100)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_they_end_with_what_started_them(command, tmp_path, number):
    ranks = []
    with subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for(lambda: is_training(tmp_path), lambda: process.poll() is None)
            ranks = below(process.pid)
            assert len(ranks) >= 2
            process.send_signal(number)
            process.wait(timeout=120)
            gone(ranks)
        finally:
            process.kill()
            for rank in filter(is_alive, ranks):
                os.kill(rank, signal.SIGKILL)
