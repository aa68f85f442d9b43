"""Of processes that train together one may end, or what started them: the others end too, with a line."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest
from support.places import SUPPORT
from support.processes import below, gone, is_alive, wait_for
from support.small_data import write_folder
from support.training_commands import ENVIRONMENT

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


@pytest.mark.slow
def test_a_process_whose_peer_is_killed_says_so_and_ends(command, tmp_path):
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
        wait_for(lambda: is_training(tmp_path), lambda: all(rank.poll() is None for rank in ranks))
        ranks[1].kill()
        _, err = ranks[0].communicate(timeout=120)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
            rank.stderr.close()
    lines = [line for line in err.splitlines() if line.startswith("resnas: ") and "epoch" not in line]
    assert ranks[0].returncode == 2, err
    assert "Traceback" not in err
    assert len(lines) == 1
    assert "the processes that train together must all be there, found that one has ended" in lines[0]
    assert "--resume" in lines[0]


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
