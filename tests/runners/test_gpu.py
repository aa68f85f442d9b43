"""What needs an NVIDIA GPU: the same logits there, and its two times, device only and host to host."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace

import numpy as np
import pytest
from support.networks import golden_arrays

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import CUDA, gpus
from resnas_deploy.runners.registry import RUNNERS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")]
OPTIONS = Options(threads=2, device="cuda:0")
NAMES = [name for name, kind in RUNNERS.items() if CUDA in kind.devices]
WITHIN = {"fp32": 1e-5, "fp16": 1e-2, "bf16": 8e-2}


def opened(name, network, options=OPTIONS):
    """A runner on the GPU; the test is skipped where what it needs is not installed."""
    try:
        return open_runner(RUNNERS[name], network, options)
    except NotAvailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_logits(artifact, near, name):
    golden = golden_arrays("vit_search_mini.npz")
    with opened(name, artifact) as runner:
        near(runner.run(golden["images"])[OUTPUT], golden["logits"], 1e-5)
        assert runner.device == f"cuda:0 {gpus()[0]}"
        assert runner.computes == "fp32"


@pytest.mark.parametrize("name", NAMES)
def test_batch_sizes_and_steps(artifact, images, expected, near, name):
    with opened(name, artifact) as runner:
        steps = {batch: runner.step(images[:batch]) for batch in (1, 8)}
        for batch in (1, 8, 1):
            near(np.asarray(steps[batch]()).reshape(batch, -1), expected[:batch], 1e-5)
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)
        assert "host to host" in runner.boundary
        assert "pinned host memory" in runner.boundary


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_lower_precisions(untrained_artifact, near, name, precision):
    if precision not in RUNNERS[name].precisions:
        pytest.skip(f"{name} has no {precision}")
    wanted, artifact = open_artifact(untrained_artifact()), open_artifact(untrained_artifact(precision))
    images = np.random.default_rng(1).standard_normal((4, 3, 112, 112), dtype=np.float32)
    with RUNNERS["torch"].open(wanted, Options(2)) as reference, opened(name, artifact) as runner:
        near(runner.run(images)[OUTPUT], reference.run(images)[OUTPUT], WITHIN[precision])


@pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])
@pytest.mark.parametrize("name", NAMES)
def test_the_time_on_the_device(untrained_artifact, name, graph):
    """It is positive and, with no copies in it, no more than the time from host to host, by medians."""
    artifact = open_artifact(untrained_artifact(batch="8"))
    images = np.random.default_rng(1).standard_normal((8, 3, 112, 112), dtype=np.float32)
    with opened(name, artifact, replace(OPTIONS, cuda_graph=graph)) as runner:
        on_device, to_host = runner.device_step(images), runner.step(images)
        device, host = list[float](), list[float]()
        for _ in range(30):
            device.append(on_device())
            began = time.perf_counter()
            to_host()
            host.append(time.perf_counter() - began)
        assert min(device) > 0
        assert statistics.median(device) < 1.2 * statistics.median(host)
        assert runner.device_boundary.startswith("device only, ")
        assert "one stream" in runner.device_boundary
        assert ("captured CUDA graph" in runner.device_boundary) == graph


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_graph_computes_the_same(untrained_artifact, near, name):
    artifact = open_artifact(untrained_artifact(batch="4"))
    images = np.random.default_rng(3).standard_normal((8, 3, 112, 112), dtype=np.float32)
    with RUNNERS["torch"].open(artifact, Options(2)) as reference:
        expected = [reference.run(part)[OUTPUT] for part in (images[:4], images[4:])]
    with opened(name, artifact, replace(OPTIONS, cuda_graph=True)) as runner:
        first = runner.run(images[:4])[OUTPUT]
        near(runner.run(images[4:])[OUTPUT], expected[1], 1e-5)  # other images in the same graph
        near(first, expected[0], 1e-5)
        on_device, step = runner.device_step(images[4:]), runner.step(images[:4])
        on_device()
        near(np.asarray(step()), expected[0], 1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ort-tensorrt"])
def test_a_graph_for_each_batch_size(artifact, images, expected, near, name):
    with opened(name, artifact, replace(OPTIONS, cuda_graph=True)) as runner:
        for batch in (2, 8, 2):
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)


def test_the_profile_of_the_module(artifact, images):
    with opened("torch", artifact, replace(OPTIONS, profile=True)) as runner:
        profile = runner.profile(images, 5)
    assert 0 < sum(profile.values()) < 1
    assert "stage1.block1.attention.qkv" in profile
