"""Networks to be timed: a quantised one has the graph that an export of it has, and no image was looked at."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from support.mini_space import MINI

from resnas_deploy.engines.opening import open_runner
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency.networks import emitted
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

WEIGHTS = untrained(MINI.sample(np.random.default_rng(3)).arch)


def structure(path):
    """All of a graph but the numbers in it."""
    graph = onnx.load(path).graph
    nodes = [
        (node.op_type, node.name, tuple(node.input), tuple(node.output), tuple(map(str, node.attribute)))
        for node in graph.node
    ]
    return nodes, {tensor.name: (tensor.data_type, tuple(tensor.dims)) for tensor in graph.initializer}


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_a_quantised_network_is_what_an_export_writes_but_for_its_steps(precision, tmp_path):
    network = emitted(WEIGHTS, precision, 1, tmp_path)
    request = Request("network", tmp_path / "artifact", precision, calibration_images=4, verify_on=None)
    assert structure(network.model) == structure(export(lambda: WEIGHTS, request, silent).model)
    with open_runner(RUNNERS["ort-cpu"], network, Options(threads=1)) as runner:
        assert np.isfinite(runner.run(noise(2, MINI.image_size))["logits"]).all()
