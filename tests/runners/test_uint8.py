"""Runners on GPUs are given the bytes of uint8 images and copy no more: on documented GPUs, and on real ones."""

from __future__ import annotations

import numpy as np
import pytest
from support.checks import refusal
from support.documented.machines import L4, engine_file, machine_with
from support.documented.tensorrt_runtime import RTX, TENSORRT
from support.small_export import SMALL, request

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import UINT8
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import NotAvailable
from resnas_deploy.exporting.export import export
from resnas_deploy.images.samples import noise
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import CUDA, gpus
from resnas_deploy.runners.ort_tensorrt import profile
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.runners.tensorrt import TensorRTRunner
from resnas_deploy.weights.checkpoint import untrained

SIZE = SMALL.image_size


@pytest.fixture(scope="module")
def levels_artifact(tmp_path_factory):
    """A network whose graph takes uint8 images, batch 1:8."""
    wanted = request(tmp_path_factory.mktemp("uint8"), input="uint8", verify_on=None)
    return open_artifact(export(lambda: untrained(SMALL), wanted, silent).folder)


@pytest.fixture(scope="module")
def on_cpu(levels_artifact):
    """Eight images and their logits."""
    images = noise(8, SIZE, UINT8)
    with RUNNERS["torch"].open(levels_artifact, Options(2)) as runner:
        return images, runner.run(images)[OUTPUT]


@pytest.mark.parametrize("module", [TENSORRT, RTX])
@pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])
def test_an_engine(monkeypatch, tmp_path, levels_artifact, on_cpu, near, module, graph):
    machine_with(monkeypatch, L4, module=module)
    images, expected = on_cpu
    options = Options(1, device="cuda:0", cuda_graph=graph, engine=engine_file(tmp_path, levels_artifact))
    with TensorRTRunner(levels_artifact, options, name=module.replace("_", "-"), module=module) as runner:
        step = runner.step(images[:3])
        near(step(), expected[:3], 1e-5)
        near(runner.run(images)[OUTPUT], expected, 1e-5)
        assert f"uint8 images of {3 * SIZE**2:,} bytes" in runner.boundary
        assert f"must be uint8 of shape (B, {SIZE}, {SIZE}, 3), found float32" in refusal(
            lambda: runner.run(noise(1, SIZE))
        )


def test_the_profile_of_onnx_runtimes_tensorrt(levels_artifact):
    assert profile(levels_artifact) == {
        f"trt_profile_{what}_shapes": f"images:{batch}x{SIZE}x{SIZE}x3"
        for what, batch in (("min", 1), ("opt", 8), ("max", 8))
    }


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
@pytest.mark.parametrize("name", [name for name, kind in RUNNERS.items() if CUDA in kind.devices])
def test_on_a_gpu(levels_artifact, on_cpu, near, name):
    images, expected = on_cpu
    try:
        runner = open_runner(RUNNERS[name], levels_artifact, Options(2, device="cuda:0"))
    except NotAvailable as error:
        pytest.skip(str(error))
    with runner:
        near(np.asarray(runner.step(images)()).reshape(expected.shape), expected, 1e-5)
        near(runner.run(images[:3])[OUTPUT], expected[:3], 1e-5)
