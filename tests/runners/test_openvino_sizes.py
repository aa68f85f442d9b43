"""OpenVINO compiles a model for each batch size that is really used, and keeps a few."""

from __future__ import annotations

import numpy as np
import pytest
from support.little_engine import exported

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

openvino = pytest.importorskip("resnas_deploy.runners.openvino", reason="openvino is missing")
TOLERANCE = 1e-5  # float32, whose sums may have another order


@pytest.fixture
def network(tmp_path):
    return exported(tmp_path / "eight", precision="fp32", for_engine=False)


def sizes(runner):
    """The batch sizes that have a model of their own, which has that shape."""
    for size, request in runner._sized.items():
        assert request.get_compiled_model().inputs[0].get_partial_shape()[0].get_length() == size
    return list(runner._sized)


def test_a_step_is_of_its_size_alone(network):
    with RUNNERS["openvino"].open(network, Options(1)) as runner:
        assert sizes(runner) == []
        for size in (2, 3, 2):
            images = noise(size, network.image_size)
            wanted = runner.run(images)[OUTPUT]
            found = runner.step(images)()[0]
            assert np.abs(found - wanted).max() <= TOLERANCE * np.abs(wanted).max()
            assert np.array_equal(runner.run(images)[OUTPUT], found)
        assert sizes(runner) == [3, 2]  # the last used at the end
        step = runner.step(noise(2, network.image_size))
        for size in (4, 5, 6, 7):
            runner.step(noise(size, network.image_size))
        assert sizes(runner) == [4, 5, 6, 7]
        assert np.isfinite(step()[0]).all()  # one that is no longer kept still runs


def test_a_size_that_comes_often_gets_one(network):
    with RUNNERS["openvino"].open(network, Options(1)) as runner:
        for number in range(openvino.OFTEN + 1):
            assert sizes(runner) == ([2] if number >= openvino.OFTEN else [])
            runner.run(noise(2, network.image_size))
            runner.run(noise(1 + number % 7 + 2 * (number % 7 > 0), network.image_size))
        assert sizes(runner) == [2]


def test_a_graph_of_one_size_has_one_model(tmp_path):
    from resnas_deploy.batch import BatchRange

    network = exported(tmp_path / "two", precision="fp32", for_engine=False, batch=BatchRange(2, 2))
    with RUNNERS["openvino"].open(network, Options(1)) as runner:
        runner.step(noise(2, network.image_size))()
        assert sizes(runner) == []


def test_a_profile_is_of_what_is_timed(network):
    with RUNNERS["openvino"].open(network, Options(1, profile=True)) as runner:
        images = noise(2, network.image_size)
        assert sum(runner.profile(images, 2).values()) > 0
        assert sizes(runner) == [2]
        assert sum(runner.profile(images, 1).values()) > 0
