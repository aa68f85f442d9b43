"""From files to batches: the same whoever makes them, as evaluation always saw them, no more at once than stated."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from support.small_data import RECIPE, SIDE, SPACE, Stripes, alone, run, write_folder

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.source import open_data
from resnas_deploy.images.crops import cropped
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.network.module import build_model
from resnas_deploy.searching.held_out import in_random_order
from resnas_deploy.searching.pool import ScorerSource
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.input import batches as batches_module
from resnas_deploy.training.input.augment import random_box
from resnas_deploy.training.input.batches import evaluation_batch, evaluation_batches, normalised, training_batches
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.records.metrics import Pace
from resnas_deploy.weights.checkpoint import Provenance, Task, untrained

CPU = torch.device("cpu")


def photographs(root):
    """The package's photographs as a data set: workers need not import this file to open it."""
    samples = sorted((files("resnas_deploy.images") / "assets" / "samples").glob("*.jpg"))
    for split in ("train", "val"):
        for label, own in enumerate((samples[:2], samples[2:3], samples[3:])):
            (root / split / str(label)).mkdir(parents=True)
            for path in own:
                shutil.copy(path, root / split / str(label))
    return open_data(str(root)).val


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_data(str(write_folder(tmp_path_factory.mktemp("data"))))


def test_batches_do_not_depend_on_the_number_of_workers(data, monkeypatch):
    """With RandAugment, and with batches that are made in several parts."""
    monkeypatch.setattr(batches_module, "PART", 3)
    recipe = replace(RECIPE, epochs=2, randaugment=9.0)
    found = [list(training_batches(data.train, recipe, SIDE, 0, workers=workers)) for workers in (0, 1, 3)]
    for others in found[1:]:
        assert len(others) == 6
        for ours, theirs in zip(found[0], others, strict=True):
            assert torch.equal(ours.pixels, theirs.pixels)
            assert torch.equal(ours.labels, theirs.labels)
    assert found[0][0].pixels.shape == (8, 3, SIDE, SIDE)


def test_a_view_is_the_box_that_its_seed_draws(data):
    """Beside the flip: whatever was decoded for it."""
    recipe = replace(RECIPE, flip=False, batch=24, group=24, epochs=1)
    batch = next(training_batches(data.train, recipe, SIDE, 7))
    order = np.random.default_rng((7, 0)).permutation(24)
    for place, index in enumerate(order):
        rng = np.random.default_rng((7, 0, index))
        box = random_box((SIDE, SIDE), recipe.crop, rng)
        wanted = np.asarray(cropped(data.train.image(int(index)), lambda _, box=box: box, SIDE))
        assert np.array_equal(batch.pixels[place].permute(1, 2, 0).numpy(), wanted)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_sees_the_same_pixels_and_logits_as_ever_to_the_bit(tmp_path, workers):
    preprocessing, images = Preprocessing(SIDE, 20), photographs(tmp_path)
    wanted = torch.from_numpy(np.stack([preprocess(images.image(index), preprocessing) for index in range(4)]))
    found = list(evaluation_batches(images, preprocessing, 3, workers=workers))
    assert [batch.pixels.dtype for batch in found] == [torch.uint8] * 2
    given = [normalised(batch.pixels, preprocessing, CPU) for batch in found]
    assert torch.equal(torch.cat(given), wanted)
    assert all(part.is_contiguous() for part in given)
    model = build_model(untrained(SPACE.widest().full))
    with torch.inference_mode():
        assert torch.equal(model(given[0]), model(wanted[:3]))


def test_an_evaluation_has_a_batch_of_its_own():
    assert evaluation_batch(replace(RECIPE, batch=1024, group=64), Share(0, 8)) == 128
    assert evaluation_batch(replace(RECIPE, batch=1024, group=64), Share()) == 256
    assert evaluation_batch(RECIPE, Share()) == RECIPE.batch
    assert evaluation_batch(replace(RECIPE, evaluation_batch=5), Share(0, 8)) == 5


def test_it_does_not_change_what_a_run_is(tmp_path):
    a, b = (run(tmp_path, recipe=replace(RECIPE, evaluation_batch=size)).identity for size in (0, 7))
    assert a == b


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_cannot_be_read_are_left_out_of_an_evaluation(tmp_path, workers):
    root = write_folder(tmp_path, val=3)
    (root / "val" / "green" / "1.png").write_bytes(b"no image")
    found = list(evaluation_batches(open_data(str(root)).val, Preprocessing(SIDE, SIDE), 4, workers=workers))
    assert sorted(len(batch.labels) for batch in found) == [1, 3, 4]
    assert [len(batch.pixels) for batch in found] == [len(batch.labels) for batch in found]
    assert sum(len(batch.unreadable) for batch in found) == 1


def test_batches_are_pinned_where_the_device_is_cuda(monkeypatch):
    """By the calls. https://docs.pytorch.org/docs/stable/notes/cuda.html, "Use pinned memory buffers"."""
    asked = []
    empty = torch.empty

    def recorded(*size, pin_memory=False, **others):
        asked.append(pin_memory)
        return empty(*size, **others)

    monkeypatch.setattr(torch, "empty", recorded)
    assert Processes(Share(), torch.device("cuda", 0)).pins
    assert not alone().pins
    for pin in (True, False):
        asked.clear()
        next(training_batches(Stripes(), RECIPE, SIDE, 0, pin=pin))
        assert asked == [pin, pin]  # images and labels


def test_candidates_are_scored_on_the_same_images_as_ever():
    """Which are kept as they were decoded: a quarter of the memory."""
    preprocessing, images = Preprocessing(SIDE, SIDE), Stripes(30)
    checkpoint = replace(
        untrained(SPACE.widest().full), provenance=Provenance(True, ()), task=Task(images.class_names, preprocessing, 1)
    )
    scorer = ScorerSource(checkpoint, in_random_order(images), 7, "cpu")()
    assert all(pixels.dtype == torch.uint8 for pixels in scorer._images)
    network = TrainedNetwork(checkpoint.arch)
    network.load(checkpoint)
    network.eval()
    order = np.random.default_rng(0).permutation(30)
    whole = Subnet.whole(checkpoint.arch)
    correct = 0
    with torch.inference_mode():
        for start in range(0, 30, 7):
            own = order[start : start + 7]
            given = torch.from_numpy(np.stack([preprocess(images.image(index), preprocessing) for index in own]))
            logits = network(given, (whole,)).image
            correct += int((logits.argmax(1).numpy() == images.labels[own]).sum())
    score = scorer.score(whole)
    assert (score.correct, score.seen) == (correct, 30)


def test_the_time_that_data_is_waited_for_is_told():
    now = [0.0]

    def slow():
        for number in range(4):
            now[0] += 3
            yield number

    pace = Pace(10, 100, lambda: now[0])
    for number in pace.timed(slow()):
        now[0] += 1
        pace.add(number + 1)
    assert pace.waiting == pytest.approx(0.75)
    assert "75% of the time waiting for data" in str(pace)
