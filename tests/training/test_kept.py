"""Checkpoints that are kept while a run goes on."""

from __future__ import annotations

import json

import pytest
from support.small_data import RECIPE, SPACE, alone, run

from resnas_deploy.errors import StorageError
from resnas_deploy.training import kept as kept_module
from resnas_deploy.training.kept import BEST, FOLDER, Kept
from resnas_deploy.training.loop import train
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.subnet_accuracy import MEAN
from resnas_deploy.weights.checkpoint import load, untrained

LONG = Recipe(epochs=12, batch=8, group=4, learning_rate=0.1, keep_every=2, keep=2)


def names(folder):
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def weights(seed=0):
    return untrained(SPACE.narrowest().arch, seed)


def seed_of(path):
    return load(path).provenance.history[-1].rpartition(" ")[2]


def test_the_best_stays_until_there_is_a_better_one(tmp_path):
    kept = Kept(tmp_path, RECIPE, "top1", 0)
    for epoch, top1 in enumerate((0.2, 0.5, 0.5, 0.4), start=1):
        kept.add(epoch, {"top1": top1}, lambda epoch=epoch: weights(epoch))
    assert names(tmp_path) == [BEST]
    assert seed_of(tmp_path / FOLDER / BEST) == "2"


def test_the_latest_of_every_second_epoch_are_kept_under_names_that_sort(tmp_path):
    kept, found = Kept(tmp_path, LONG, "top1", 0), []
    for epoch in range(1, 13):
        kept.add(epoch, {"top1": 0.1}, weights)
        found.append(" ".join(name.split(".")[0] for name in names(tmp_path) if name != BEST))
    assert found[:4] == ["", "epoch-02", "epoch-02", "epoch-02 epoch-04"]
    assert found[5] == "epoch-04 epoch-06"
    assert found[-1] == "epoch-10 epoch-12"


def test_the_oldest_goes_only_when_the_new_one_is_there(tmp_path, monkeypatch):
    kept = Kept(tmp_path, LONG, "top1", 0)
    for epoch in (2, 4):
        kept.add(epoch, {"top1": 0.1}, weights)

    def full(checkpoint, path):
        raise StorageError(f"{path} cannot be written: no space")

    monkeypatch.setattr(kept_module, "save", full)
    with pytest.raises(StorageError):
        kept.add(6, {"top1": 0.1}, weights)
    assert names(tmp_path) == [BEST, "epoch-02.safetensors", "epoch-04.safetensors"]


def test_a_run_that_goes_on_knows_its_best_and_leaves_files_of_later_epochs(tmp_path):
    first = Kept(tmp_path, LONG, "top1", 0)
    lines = [{"step": 10 * epoch, "epoch": epoch, "top1": top1} for epoch, top1 in ((2, 0.3), (4, 0.8), (6, 0.9))]
    for line in lines:
        first.add(line["epoch"], {"top1": line["top1"]}, weights)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 70, "top1')
    on = Kept(tmp_path, LONG, "top1", 40)  # put back to the end of epoch 4
    on.add(5, {"top1": 0.8}, lambda: weights(5))
    assert seed_of(tmp_path / FOLDER / BEST) == "0"
    on.add(5, {"top1": 0.81}, lambda: weights(5))
    assert seed_of(tmp_path / FOLDER / BEST) == "5"
    assert names(tmp_path) == [BEST, "epoch-04.safetensors", "epoch-06.safetensors"]


@pytest.mark.parametrize(("space", "merit"), [(SPACE, MEAN), (None, "top1")], ids=["supernet", "network"])
def test_what_a_run_keeps_can_be_used_like_the_final_checkpoint(tmp_path, space, merit):
    train(run(tmp_path, space=space, recipe=RECIPE.override({"epochs": 3, "keep_every": 1, "keep": 1})), alone())
    assert names(tmp_path) == [BEST, "epoch-3.safetensors"]
    final, last = load(tmp_path / "checkpoint.safetensors"), load(tmp_path / FOLDER / "epoch-3.safetensors")
    assert last.digest == final.digest
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    best = max((line for line in lines if "epoch" in line), key=lambda line: (line[merit], -line["epoch"]))
    found = load(tmp_path / FOLDER / BEST)
    assert found.accuracy.top1 == best["top1"]
    part = "" if best["epoch"] == 3 else f"{best['epoch']} of "
    assert f"trained {part}3 epochs on stripes" in found.provenance.history[-1]
