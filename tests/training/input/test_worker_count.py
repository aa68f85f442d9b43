"""How many image workers there are: as asked, or by the cores; never more than memory holds, said before any starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.checks import refusal
from support.small_data import Stripes, alone, run

import resnas_deploy as resnas
from resnas_deploy.data.demo import demo_images
from resnas_deploy.data.labelled import ImageSubset
from resnas_deploy.training.distributed import Processes, Share, share_of
from resnas_deploy.training.input import worker_count as module
from resnas_deploy.training.input.worker_count import bytes_of, with_workers, worker_count

SIDE, BATCH = 224, 128


def count(asked=None, *, images=None, share=None, device="cpu", cores=16, free=10**12):
    processes = Processes(share or Share(), torch.device(device))
    return worker_count(asked, images or Stripes(), SIDE, BATCH, processes, cores=lambda: cores, free=lambda: free)


@pytest.mark.parametrize(
    ("environment", "cores", "wanted"),
    [
        ({}, 16, 16),
        ({"LOCAL_RANK": "3"}, 16, 16),
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8", "RANK": "0"}, 64, 8),
        ({"WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "8", "RANK": "9", "LOCAL_RANK": "1"}, 60, 7),
        ({"WORLD_SIZE": "4", "RANK": "0"}, 16, 4),  # all may be here
        ({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8", "RANK": "0"}, 2, 1),
        ({}, 10_000, 256),
    ],
)
def test_unless_told_the_cores_are_shared_out_among_the_processes_here(environment, cores, wanted):
    share = share_of({"MASTER_ADDR": "localhost", "MASTER_PORT": "1"} | environment)
    assert count(share=share, cores=cores) == wanted


def test_as_many_as_were_asked_for_and_none_where_none():
    assert count(0) == 0
    assert count(0, free=0) == 0
    assert count(40, cores=2) == 40
    assert count(40, free=None) == 40  # nobody knows


def test_images_in_memory_need_none_where_the_cpu_computes():
    images = ImageSubset(demo_images()[0], np.arange(100))
    assert count(images=images) == 0
    assert count(3, images=images) == 3
    assert count(images=images, device="cuda") == 16


def test_more_than_memory_holds_is_refused_with_the_figures():
    assert refusal(lambda: count(48, free=2 * 10**9)) == (
        "48 `workers` must fit into memory: they need 4.1 GB, found 2.0 GB free; give at most 22"
    )
    line = refusal(lambda: count(12, share=Share(0, 8, 0, 8), free=4 * 10**9))
    assert line.startswith("12 `workers` in each of 8 processes must fit into memory: they need 8.7 GB, found 4.0 GB")
    assert "or close what else takes memory" in refusal(lambda: count(1, free=10**6))


def test_unless_told_there_are_no_more_than_memory_holds():
    assert count(cores=64, free=2 * 10**9) == 22
    assert count(free=10**6) == 0


def test_larger_batches_and_images_take_more():
    assert bytes_of(4, 224, 128) < bytes_of(4, 224, 256) < bytes_of(4, 448, 256) < bytes_of(5, 448, 256)


def test_a_run_gets_its_number(tmp_path):
    assert with_workers(run(tmp_path), 5, alone()).workers == 5


def test_a_run_has_room_for_those_that_evaluate_beside_those_that_train(tmp_path, monkeypatch):
    trains = run(tmp_path)
    crew = bytes_of(4, trains.arch.image_size, trains.recipe.batch)
    room = {"crews": 1, "cores": lambda: 4, "free": lambda: 2 * crew}
    monkeypatch.setattr(module.worker_count, "__kwdefaults__", room)
    assert with_workers(trains, 4, alone()).workers == 4
    monkeypatch.setattr(module.worker_count, "__kwdefaults__", room | {"free": lambda: 1.9 * crew})
    assert "4 `workers` must fit into memory" in refusal(lambda: with_workers(trains, 4, alone()))


def test_a_command_refuses_them_before_it_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(module.worker_count, "__kwdefaults__", {"cores": lambda: 4, "free": lambda: 10**8})
    line = refusal(lambda: resnas.train.supernet(tmp_path / "run", "demo", workers=200))
    assert line.startswith("200 `workers` must fit into memory")
    assert not (tmp_path / "run").exists()
