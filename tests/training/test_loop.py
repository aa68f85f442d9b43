"""Training: it learns, goes on where it was killed, and keeps what it had."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.checks import refusal
from support.places import SEARCHED
from support.small_data import RECIPE, SPACE, Stripes, alone, run

from resnas_deploy.errors import BadInput
from resnas_deploy.progress import silent
from resnas_deploy.training import passes
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.loop import train
from resnas_deploy.training.run import CHECKPOINT, STATE
from resnas_deploy.weights.checkpoint import MeasuredAccuracy, load


def weights(folder):
    return load(folder / CHECKPOINT).tensors


def same(one, two):
    return all(np.array_equal(one[name], two[name]) for name in one)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_supernet_learns(tmp_path):
    recipe = replace(RECIPE, epochs=20, learning_rate=0.3, mixing=False, drop_path=0.0)
    trained = train(run(tmp_path, recipe=recipe), alone(), silent)
    assert trained.accuracy.top1 > 0.8
    assert losses(tmp_path)[-1] < 0.6 * losses(tmp_path)[0]
    assert trained.checkpoint.provenance.trained
    assert trained.checkpoint.task.class_names == Stripes().class_names


@pytest.mark.parametrize("space", [SPACE, None], ids=["supernet", "network"])
def test_the_same_seed_gives_the_same_weights(tmp_path, space):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(run(tmp_path / name, space=space, seed=seed), alone(), silent)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_the_checkpoint_says_what_its_accuracy_was(tmp_path):
    trained = train(run(tmp_path), alone(), silent)
    kept = load(tmp_path / CHECKPOINT).accuracy
    assert kept == trained.checkpoint.accuracy == MeasuredAccuracy("stripes", 9, trained.accuracy.top1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    train(run(tmp_path), alone(), silent)  # which is at its end
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_the_names_of_the_network_stay_when_it_is_trained_on(tmp_path):
    first = train(run(tmp_path / "a", space=None), alone(), silent).checkpoint
    numbered = Stripes(class_names=("0-Red", "1-Green", "2-Blue"))
    on = run(tmp_path / "b", space=None, start=first, train=numbered, recipe=replace(RECIPE, epochs=1))
    assert train(on, alone(), silent).checkpoint.task.class_names == ("red", "green", "blue")


# Trains again and again, each time in a child that is killed at a step; the children's exit statuses are its output.
PROGRAM = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from support.small_data import RECIPE, alone, run
from resnas_deploy.training.learner import Learner
from resnas_deploy.training.loop import train
from resnas_deploy.training.records.status import status_of
original = Learner.learn
for folder, kill_at in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    pid = os.fork()
    if pid == 0:
        def learn(self, number, *others):
            if number == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, number, *others)
        Learner.learn = learn
        recipe = replace(RECIPE, epochs=3, ema=0.9, keep_every=1, keep=2)
        train(run(Path(folder), recipe=recipe, save_every=2), alone(), lambda _: None)
        os._exit(len({"tensorboard", "mlflow", "wandb"} & sys.modules.keys()))  # nobody is told unless asked for
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), status_of(Path(folder)).state)
"""


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path):
    whole, cut, never = tmp_path / "whole", tmp_path / "cut", 10**9
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, (whole, never, cut, 1, cut, 4, cut, never))],
        env=os.environ | {"PYTHONPATH": SEARCHED},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.splitlines() == ["0 finished", "-9 killed", "-9 killed", "0 finished"], done.stderr
    assert same(weights(whole), weights(cut))
    assert losses(whole) == losses(cut)
    kept = [{path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()} for folder in (whole, cut)]
    assert kept[0] == kept[1]
    assert kept[0].keys() == {"best.safetensors", "epoch-2.safetensors", "epoch-3.safetensors"}


def test_a_state_of_another_run_is_refused(tmp_path):
    train(run(tmp_path), alone(), silent)
    message = refusal(lambda: train(run(tmp_path, seed=1), alone(), silent))
    assert "must be of the same run, found another network, space, recipe, data or seed" in message


@pytest.mark.parametrize("content", [b"", b"12345678", b"\xff" * 100])
def test_a_damaged_state_is_refused(tmp_path, content):
    (tmp_path / STATE).write_bytes(content)
    assert "must be the whole state of a training run" in refusal(lambda: train(run(tmp_path), alone(), silent))
    assert (tmp_path / STATE).read_bytes() == content


def test_a_loss_that_is_nan_stops_and_keeps_the_last_save(tmp_path, monkeypatch):
    calls = []

    def spoiled(logits, mixed):
        calls.append(1)
        value = loop_loss(logits, mixed)
        return value * (math.nan if len(calls) == 5 else 1.0)

    loop_loss = passes.token_label_loss
    monkeypatch.setattr(passes, "token_label_loss", spoiled)
    message = refusal(lambda: train(run(tmp_path, save_every=4), alone(), silent))
    assert "the loss must stay finite, found nan at step 5 of 6" in message
    assert (tmp_path / STATE).exists()
    assert not (tmp_path / CHECKPOINT).exists()
    monkeypatch.setattr(passes, "token_label_loss", loop_loss)
    train(run(tmp_path, save_every=4), alone(), silent)  # goes on from what was kept


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_autocast(tmp_path, precision):
    recipe = replace(RECIPE, precision=precision)
    trained = train(run(tmp_path, recipe=recipe), alone(), silent)
    assert all(np.isfinite(tensor).all() for tensor in trained.checkpoint.tensors.values())


def test_unreadable_images_are_fatal_or_skipped(tmp_path):
    class Damaged(Stripes):
        def image(self, index):
            if index == 5:
                from resnas_deploy.errors import BadInput

                raise BadInput("number 5 cannot be read")
            return super().image(index)

    message = refusal(lambda: train(run(tmp_path / "a", train=Damaged()), alone(), silent))
    assert message == "number 5 cannot be read; or give `skip_unreadable`"
    trained = train(run(tmp_path / "b", train=Damaged(), skip_unreadable=True), alone(), silent)
    assert set(trained.skipped) == {"number 5 cannot be read"}


def test_threads_of_torch_stay_as_they_are(tmp_path):
    before = torch.get_num_threads()
    train(run(tmp_path), alone(), silent)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_weights_that_are_nan_after_a_finite_loss_are_not_saved(tmp_path, monkeypatch, ema):
    """The loss is of the weights before the update, so that it says nothing of those that are kept."""

    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * math.inf

    calls = []

    def spoiled(logits, mixed):
        calls.append(1)
        value = loop_loss(logits, mixed)
        return Overflow.apply(value) if len(calls) == 4 else value

    loop_loss = passes.token_label_loss
    monkeypatch.setattr(passes, "token_label_loss", spoiled)
    wanted = run(tmp_path, recipe=replace(RECIPE, ema=ema), save_every=2)
    message = refusal(lambda: train(wanted, alone(), silent))
    assert "all weights must stay finite, found NaN or infinity after step 4 of 6" in message
    monkeypatch.setattr(passes, "token_label_loss", loop_loss)
    train(wanted, alone(), silent)  # goes on from what was kept


def test_workers_end_with_the_run_though_its_error_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "token_label_loss", lambda logits, mixed: logits.image.sum() * math.nan)
    with pytest.raises(BadInput) as kept:
        train(replace(run(tmp_path), workers=1), alone(), silent)
    assert "the loss must stay finite" in str(kept.value)
    assert not multiprocessing.active_children()


def test_processes_that_do_not_see_the_same_folder_are_refused(tmp_path):
    """Each would go on from a step of its own."""

    class Two(Processes):
        def total(self, value):
            return value + 1  # the other one has a state

    two = Two(Share(), torch.device("cpu"))  # whose sums are of both
    assert "must be the same folder in all processes" in refusal(lambda: train(run(tmp_path), two, silent))
