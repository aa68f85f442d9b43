"""A search from Python: within limits as text and as numbers, by a model that is handed in."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.checks import refusal
from support.small_data import SPACE, write_folder
from support.small_search import model_of

import resnas_deploy as resnas
from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.memory import memory_bytes
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.searching.held_out import HeldOutSource, in_random_order
from resnas_deploy.searching.pool import ScorerSource
from resnas_deploy.weights.checkpoint import Task, load, save, untrained
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.space_files import packaged_spaces

FEW = {"iterations": 2, "first": 6, "children": 4, "parents": 3, "finalists": 1, "threads": 1}


@pytest.fixture(autouse=True)
def little_space(monkeypatch):
    monkeypatch.setitem(packaged_spaces(), SPACE.name, SPACE)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A supernet that knows nothing, and the data that it is for."""
    folder = tmp_path_factory.mktemp("search")
    task = Task(("blue", "green", "red"), Preprocessing(SPACE.image_size, SPACE.image_size), held_out=2)
    save(replace(untrained(SPACE.widest().full), task=task), folder / "supernet.safetensors")
    return {"supernet": folder / "supernet.safetensors", "data": write_folder(folder / "data")}


@pytest.fixture
def model():
    return model_of()


def test_a_search_gives_the_winner_and_prints_nothing(given, tmp_path, capfd, small_reference):
    found = resnas.search(**given, **FEW, max_macs="70%", out=tmp_path / "found")
    winner = found.winner
    assert macs(winner.checkpoint.arch) <= 0.7 * macs(SPACE.widest().arch)
    assert winner.measured_ms > 0
    assert winner.artifact.manifest.verification
    assert found.finalists == (winner,)
    assert len(found.evaluated.candidates) == 10
    document = json.loads(json.dumps(found.to_json()))
    assert document["arch"] == json.loads((tmp_path / "found" / "arch.json").read_text())
    assert document["finalists"][0]["MACs"] == pytest.approx(macs(winner.checkpoint.arch) / 1e9)
    assert winner.checkpoint.arch.fingerprint in found._repr_html_()
    assert capfd.readouterr() == ("", "")
    number = 0.7 * macs(SPACE.widest().arch)
    same = resnas.search(**given, **FEW, max_macs=number, out=tmp_path / "same")
    assert [item.subnet for item in same.evaluated.candidates] == [item.subnet for item in found.evaluated.candidates]


def test_a_model_limits_latency_and_says_how_finalists_are_measured(given, model, tmp_path, small_reference):
    few = {name: value for name, value in FEW.items() if name != "threads"}
    widest = model.predict([SPACE.widest().arch]).ms.item()
    found = resnas.search(**given, **few, max_latency_ms=0.8 * widest, model=model, out=tmp_path / "found")
    assert all(item.costs[0] <= 0.8 * widest for item in found.evaluated.candidates)
    assert found.to_json()["finalists"][0]["predicted_latency"] == found.winner.candidate.costs[0]
    configuration = found.winner.measurement.configuration
    assert (configuration.runner, configuration.threads) == ("ort-cpu", 1)
    shared = resnas.search(**given, **few, max_latency="80%", model=model, out=tmp_path / "text")
    assert shared.winner.candidate.subnet == found.winner.candidate.subnet


def test_a_cheaper_search_says_how_many_images_it_scored(given, tmp_path, small_reference):
    few = FEW | {"first": 36, "iterations": 2}
    found = resnas.search(**given, **few, max_macs="70%", predictor=True, out=tmp_path / "found")
    document = json.loads(json.dumps(found.to_json()))
    assert document["evaluated"] == 12 + 2
    seen = [item.score.seen for item in found.evaluated.candidates]
    assert document["images_scored"] == sum(seen) <= 6 * len(seen)
    assert f"on {sum(seen)} images in all" in found.table().title
    assert [check["iteration"] for check in document["predictor"]] == [2]
    assert found.winner.candidate.score.seen == 6


def test_a_search_at_another_image_size_scores_and_measures_at_that_size(given, tmp_path, small_reference):
    model = model_of(space=SPACE.with_image_size(32))
    few = {name: value for name, value in FEW.items() if name != "threads"}
    found = resnas.search(**given, **few, max_latency="80%", model=model, image_size=32, out=tmp_path / "found")
    winner = found.winner
    assert winner.checkpoint.arch.image_size == winner.artifact.image_size == 32
    assert winner.checkpoint.task.preprocessing.image_size == 32
    resized = resize(load(given["supernet"]), 32)
    images = HeldOutSource(str(given["data"])).images(resized, given["supernet"])
    alone = ScorerSource(resized, in_random_order(images), 100, "cpu")()
    assert alone.score(winner.candidate.subnet) == winner.candidate.score
    message = refusal(lambda: resnas.search(**given, **few, max_latency="80%", model=model, out=tmp_path / "own"))
    assert "`model` must be of the supernet's space, little at 16 pixels, found one of little at 32" in message
    message = refusal(lambda: resnas.search(**given, **few, max_macs="80%", image_size=31, out=tmp_path / "odd"))
    assert "image_size must be" in message


def test_a_limit_on_memory_needs_no_model(given, tmp_path, small_reference):
    most = memory_bytes(SPACE.narrowest().arch, 4) + 1000
    found = resnas.search(**given, **FEW, max_memory=most, batch=4, out=tmp_path / "found")
    assert memory_bytes(found.winner.checkpoint.arch, 4) <= most
    assert found.winner.measurement.configuration.batch == 4
    assert found.to_json()["finalists"][0]["memory"] == memory_bytes(found.winner.checkpoint.arch, 4) / 1e6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"max_macs": "60%", "confidence": 1.0},
            "`confidence` must be from 0.5 to 0.999, found 1.0",
        ),
        ({"max_macs": "60%", "percentile": "p95"}, "`percentile` must be one of p50, p90, p99, found 'p95'"),
        ({"min_throughput": "20"}, "`min_throughput` must be a number with the unit /s, found '20'"),
        ({"max_memory": "1KB"}, "must have subnets with memory of at most 0.001 MB, found from "),
        ({"max_energy": "50mW"}, "`max_energy` must be a number with one of the units J, mJ, uJ, or %"),
        ({}, "no limit given: the widest subnet would always win; give `max_macs`"),
        ({"max_latency": "8ms", "max_latency_ms": 8}, "one of `max_latency` and `max_latency_ms`, found both"),
        ({"max_macs": "much"}, "`max_macs` must be a number with one of the units G, M, or %"),
        ({"max_macs": "1"}, "must have subnets with MACs of at most 1e-09 G"),
        ({"max_macs": "60%", "finalists": 0}, "`finalists` must be from 1 to 20, found 0"),
        ({"max_macs": "60%", "eval_batch": 0}, "`eval_batch` must be from 1 to 65536, found 0"),
        ({"max_macs": "60%", "seed": -1}, "`seed` must be from 0 to "),
        ({"max_macs": "60%", "workers": "dask"}, "`workers` must be ray or ray:ADDRESS, found 'dask'"),
        ({"max_macs": "60%", "eval_device": "tpu"}, "`eval_device` must be cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_written(given, tmp_path, changes, said):
    assert said in refusal(lambda: resnas.search(**given, **FEW | changes, out=tmp_path / "found"))
    assert not (tmp_path / "found").exists()


def test_a_model_and_how_to_choose_one_are_not_both_given(given, model, tmp_path):
    message = refusal(lambda: resnas.search(**given, max_latency="80%", model=model, batch=8, out=tmp_path / "found"))
    assert "`model` must come without `runner`, `batch`" in message


def test_a_folder_that_is_not_empty_is_left(given, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    message = refusal(lambda: resnas.search(**given, **FEW, max_macs="70%", out=tmp_path))
    assert "give `resume` to go on with a search there, or choose another `out`" in message
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
