"""Finalists in a quantised precision: calibrated on the search's images, and right as often as the graph itself is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.small_data import SPACE, Stripes

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.costs import macs_cost
from resnas_deploy.searching.exported import Exporter
from resnas_deploy.weights.checkpoint import Task, untrained

IMAGES = Stripes(21)


@pytest.fixture(scope="module")
def supernet():
    task = Task(IMAGES.class_names, Preprocessing(SPACE.image_size, SPACE.image_size), held_out=2)
    return replace(untrained(SPACE.widest().full), task=task, space=SPACE)


def exporter(supernet, folder, precision, runner="ort-cpu"):
    return Exporter(supernet, Setup(runner_kind(runner), precision, 1, 1), IMAGES, folder, (macs_cost(),))


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_a_quantised_finalist_has_the_accuracy_of_its_own_graph(supernet, tmp_path, precision):
    candidate = Candidate(SPACE.narrowest(), Score(5, 21), (1.0,), 0)
    found = exporter(supernet, tmp_path, precision).export(candidate, 1)
    assert found.candidate == candidate
    assert found.highest == (macs(SPACE.narrowest().arch) / 1e9,)
    artifact = found.opened(tmp_path)
    assert artifact.precision == precision
    calibration = artifact.manifest.quantisation["calibration"]
    assert (calibration["source"], calibration["images"]) == ("the search's images", 21)
    right = 0
    with open_runner(runner_kind("ort-cpu"), artifact, Options(1)) as runner:
        for number, label in enumerate(IMAGES.labels):
            image = preprocess(IMAGES.image(number), artifact.manifest.preprocessing)[None]
            right += int(runner.run(np.repeat(image, artifact.batch.least, axis=0))[OUTPUT][0].argmax() == label)
    assert (found.accuracy.correct, found.accuracy.images) == (right, 21)
    assert found.accuracy.runner.startswith("ort-cpu")


def test_a_runner_that_is_not_here_is_stood_in_for(supernet, tmp_path):
    """A device's own runtime is seldom on the server: the graph is looked at on one that is."""
    found = exporter(supernet, tmp_path, "int8", "tensorrt").export(
        Candidate(SPACE.narrowest(), Score(1, 2), (1.0,), 0), 1
    )
    assert found.accuracy.runner.startswith("ort-cpu")
    assert found.opened(tmp_path).manifest.quantisation["around"] == "fp16", "in the form that engines want"


def test_in_float_the_accuracy_is_the_candidates(supernet, tmp_path):
    found = exporter(supernet, tmp_path, "fp16").export(Candidate(SPACE.narrowest(), Score(1, 2), (1.0,), 0), 1)
    assert found.accuracy is None
