"""Batches: the order in which training and evaluation take images, alone and in several processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.small_data import RECIPE, SIDE, Stripes

from resnas_deploy.data.labelled import ImageSubset
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.distributed import Share
from resnas_deploy.training.input.batches import epoch_order, evaluation_batches, steps_per_epoch, training_batches


@given(st.integers(1, 4), st.integers(0, 20))
def test_processes_share_out_one_order(processes, seed):
    runs, steps, batch = [np.arange(53)], 4, 12
    shares = [
        epoch_order(runs, steps, batch, Share(rank, processes), np.random.default_rng(seed))
        for rank in range(processes)
        if batch % processes == 0
    ]
    if not shares:
        return
    whole = epoch_order(runs, steps, batch, Share(), np.random.default_rng(seed))
    assert np.array_equal(np.concatenate(shares, axis=1), whole)
    assert len(set(whole.ravel().tolist())) == steps * batch


def test_each_process_reads_its_own_shards():
    runs = [np.arange(start, start + 10) for start in range(0, 60, 10)]
    found = [epoch_order(runs, 7, 8, Share(rank, 2), np.random.default_rng(0)) for rank in range(2)]
    shards = [{index // 10 for index in order.ravel().tolist()} for order in found]
    assert not shards[0] & shards[1]
    assert len(shards[0] | shards[1]) == 6
    assert found[0].shape == (7, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_seed_wherever_a_run_goes_on(workers):
    def batches(first_step, seed=0):
        recipe = replace(RECIPE, epochs=2)
        return list(training_batches(Stripes(), recipe, SIDE, seed, first_step=first_step, workers=workers))

    whole, rest = batches(0), batches(4)
    assert len(whole) == 6
    assert len(rest) == 2
    assert all((a.pixels == b.pixels).all() for a, b in zip(whole[4:], rest, strict=True))
    assert any((a.pixels != b.pixels).any() for a, b in zip(whole, batches(0, seed=1), strict=True))
    assert (whole[0].pixels != whole[3].pixels).any()  # another epoch


def test_evaluation_sees_every_image_once():
    parts = [
        list(evaluation_batches(Stripes(23), Preprocessing(SIDE, SIDE), 4, share=Share(rank, 2))) for rank in range(2)
    ]
    assert sum(len(batch.labels) for part in parts for batch in part) == 23


def test_too_few_images_for_a_batch_are_refused():
    assert "must have at least one batch of 8 images, found 7" in refusal(
        lambda: steps_per_epoch(ImageSubset(Stripes(), np.arange(7)), RECIPE)
    )
