"""A rehearsal of ImageNet's run: its layout, names and oddities, the real tiny space at 224 pixels, two processes.

It is killed twice on the way: one process, and all of them. What is small is the number of images, and the batch.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.imagenet_like import wordnet_ids, write_imagenet
from support.places import ROOT
from support.processes import below, gone, processes, wait_for
from support.training_commands import ENVIRONMENT

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.images.class_names import imagenet_class_names
from resnas_deploy.weights.checkpoint import load
from resnas_deploy.weights.space_files import packaged_spaces

PATIENCE = 1800  # seconds for a command, on a slow and busy machine
CLASSES = 1000
SETTINGS = {  # the paper's recipe of the tiny space but for these
    "epochs": 1,
    "warm_up_epochs": 0,
    "batch": 40,
    "group": 4,
    "held_out": 1,
    "opening_epochs": 0,
}
SEARCH = ("--max-macs", "1.1G", "--iterations", 1, "--first", 3, "--finalists", 1)


@pytest.fixture
def imagenet(tmp_path):
    return write_imagenet(tmp_path / "imagenet", classes=CLASSES)


@contextmanager
def training(imagenet, out):
    """The run in two processes, as torchrun starts it: the launcher, and its ranks by number."""
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    options = ["--data", imagenet, "--out", out, "--save-every", "5", "--resume", "--json", *settings]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    with subprocess.Popen(
        [*launch, "resnas_deploy", "train", "supernet", "--space", "tiny", *map(str, options)],
        env=ENVIRONMENT,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            yield launcher
        finally:
            for number in below(launcher.pid):
                with suppress(ProcessLookupError):  # it ends with another of them
                    os.kill(number, signal.SIGKILL)
            launcher.kill()


def ranks_of(launcher):
    """The numbers of the two ranks' processes, the first one's first."""
    own = [number for number, (parent, _) in processes().items() if parent == launcher.pid]
    return [number for rank in "01" for number in own if f"RANK={rank}" in environment(number)]


def environment(number):
    return Path(f"/proc/{number}/environ").read_text().split("\0")


def is_saved_after(out, moment):
    state = out / "state.safetensors"
    return state.exists() and state.stat().st_mtime > moment


def resnas(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "resnas_deploy", *map(str, arguments)],
        env=ENVIRONMENT | {"OMP_NUM_THREADS": "2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_imagenet_in_small(imagenet, tmp_path):
    out, supernet = tmp_path / "run", tmp_path / "run" / "checkpoint.safetensors"
    small = ("--set", "batch=4", "--set", "group=4", "--set", "held_out=1", "--profile-input", "--json")
    profile = resnas("train", "supernet", "--space", "tiny", "--data", imagenet, "--out", out, *small)
    assert min(profile["loader_images_per_second"], profile["device_images_per_second"]) > 0
    assert not out.exists()

    moment = time.time()
    with training(imagenet, out) as launcher:
        wait_for(lambda: is_saved_after(out, moment), lambda: launcher.poll() is None, PATIENCE)
        ranks = ranks_of(launcher)
        os.kill(ranks[1], signal.SIGKILL)
        _, err = launcher.communicate(timeout=PATIENCE)
        assert "rank 1 has ended: it left no word, as where it was killed" in err, err
        assert "with --resume" in err
        assert "resnas_deploy/" not in err  # no traceback of ours beside torchrun's own
        gone(ranks)

    moment = time.time()
    with training(imagenet, out) as launcher:
        wait_for(lambda: is_saved_after(out, moment), lambda: launcher.poll() is None, PATIENCE)
        ranks = ranks_of(launcher)
        for number in [launcher.pid, *ranks]:
            os.kill(number, signal.SIGKILL)
        gone(ranks)
    assert not supernet.exists()

    with training(imagenet, out) as launcher:
        printed, err = launcher.communicate(timeout=PATIENCE)
        assert launcher.returncode == 0, err
        assert "Traceback" not in err
    trained = json.loads(printed)
    assert (trained["pictures"], trained["skipped"], trained["unreadable"]) == (CLASSES, [], [])
    assert "ignored in" in err
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["epoch"] == 1
    status = resnas("train", "status", out, "--json")
    assert (status["state"], status["epoch"], status["step"]) == ("finished", 1, status["steps"])
    assert "<html" in (out / "report.html").read_text()
    task = load(supernet).task
    assert (task.class_names, task.held_out) == (imagenet_class_names(), 1)

    found = tmp_path / "found"
    document = resnas("search", "--supernet", supernet, "--data", imagenet, *SEARCH, "--out", found, "--json")
    assert document["evaluated"] == 3
    winner = ArchSpec.from_json(json.loads((found / "arch.json").read_text()))
    assert packaged_spaces()["tiny"].widest().arch.image_size == winner.image_size == 224

    artifact = tmp_path / "artifact"
    resnas("export", "--checkpoint", found / "checkpoint.safetensors", "--out", artifact, "--json")
    resnas("verify", artifact, "--json")
    image = next((imagenet / "val" / wordnet_ids()[0]).iterdir())
    (predicted,) = resnas("predict", artifact, image, "--json")["images"]
    assert {guess["name"] for guess in predicted["top"]} <= set(imagenet_class_names())
