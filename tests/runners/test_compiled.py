"""PyTorch's compiled ways: what they compute, what they refuse, and what they leave behind. Compiling takes long."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np
import pytest
from support.checks import refusal

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import compiled_torch_problem
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

OPTIONS = Options(threads=2)
NAMES = ("torch-compile", "aoti")
LITTLE = ArchSpec(
    (Stage(8, (Block(1, 8, 16),)), Stage(12, (Block(2, 4, 16),)), Stage(16, (Block(1, 8, 24),))),
    classes=5,
    image_size=56,
)
needs_compiler = pytest.mark.skipif(compiled_torch_problem("cpu") is not None, reason="no C++ compiler is here")


class Little:
    """A network of weights alone, with no file: what these runners need."""

    source = label = digest = "little"
    input, for_runner = "float32", ""
    image_size, arch, precision = LITTLE.image_size, LITTLE, "fp32"

    def __init__(self, batch="1:4"):
        self.batch = BatchRange.parse(batch)

    def module(self):
        from resnas_deploy.network.module import build_model

        return build_model(untrained(LITTLE))


@pytest.fixture(scope="module")
def little():
    """Four images of the little network, and its logits."""
    size = LITTLE.image_size
    images = np.random.default_rng(0).standard_normal((4, 3, size, size), dtype=np.float32)
    with RUNNERS["torch"].open(Little(), OPTIONS) as runner:
        return images, runner.run(images)[OUTPUT]


@pytest.mark.slow
@needs_compiler
def test_compiled_in_process(little, near):
    images, expected = little
    with RUNNERS["torch-compile"].open(Little(), OPTIONS) as runner:
        step = runner.step(images[:2])
        near(step(), expected[:2], 1e-5)
        near(step(), expected[:2], 1e-5)
        near(runner.run(images[2:])[OUTPUT], expected[2:], 1e-5)
        assert (runner.name, runner.computes, runner.device) == ("torch-compile", "fp32", "cpu")
        assert runner.boundary == ("host to host, CPU, compiled for the batch size, 2 threads, preprocessing excluded")
        assert runner.device_step(images) is None
        assert runner.profile(images, 1) == {}


@pytest.mark.slow
@needs_compiler
def test_compiled_by_max_autotune(little, near):
    """Without the CUDA graphs of its own: whether there is one, the options say for every runner alike."""
    images, expected = little
    with RUNNERS["torch-compile-max"].open(Little(), OPTIONS) as runner:
        near(runner.run(images[:2])[OUTPUT], expected[:2], 1e-5)
        assert "compiled for the batch size, mode max-autotune-no-cudagraphs, 2 threads" in runner.boundary


@pytest.mark.slow
@needs_compiler
def test_a_package_of_a_batch_range(little, near, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    images, expected = little
    with RUNNERS["aoti"].open(Little(), OPTIONS) as runner:
        for batch in (1, 4, 3, 1):
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)
        steps = [runner.step(images[:batch]) for batch in (1, 2)]
        first = steps[0]()
        near(steps[1](), expected[:2], 1e-5)
        near(first, expected[:1], 1e-5)
        assert runner.boundary == (
            "host to host, CPU, AOTInductor package for batch 1:4, 2 threads, preprocessing excluded"
        )
        assert (runner.device_step(images), runner.profile(images, 1)) == (None, {})
        assert "range 1:4, found 5" in refusal(lambda: runner.run(np.concatenate([images, images[:1]])))
        assert list(tmp_path.glob("resnas-aoti-*/network.pt2"))
    assert not list(tmp_path.glob("resnas-aoti-*"))  # the package is gone with its runner


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("batch", ["1", "3", "2:3"])
def test_a_package_of_another_range(little, near, batch):
    images, expected = little
    network = Little(batch)
    with RUNNERS["aoti"].open(network, OPTIONS) as runner:
        for count in {network.batch.least, network.batch.most}:
            near(runner.run(images[:count])[OUTPUT], expected[:count], 1e-5)
        assert f"range {network.batch}, found 4" in refusal(lambda: runner.run(images))


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-5), ("bf16", 8e-2)])
def test_a_trained_network_in_two_precisions(artifact, images, expected, near, name, precision, within):
    network = replace(artifact, manifest=replace(artifact.manifest, precision=precision))
    with RUNNERS[name].open(network, OPTIONS) as runner:
        for batch in (8, 1):
            logits = runner.run(images[:batch])[OUTPUT]
            near(logits, expected[:batch], within)
            assert (precision == "fp32") or (logits != expected[:batch]).any()


@pytest.mark.slow
@needs_compiler
def test_more_batch_sizes_than_pytorch_compiles_a_function_for(little, near):
    """Its own limit, beyond which it refuses a full graph, is 8; here it is 1, for the sake of time."""
    import torch

    images, expected = little
    with torch._dynamo.config.patch(recompile_limit=1), RUNNERS["torch-compile"].open(Little(), OPTIONS) as runner:
        for batch in (1, 2, 1):
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_compiled_is_one_line(monkeypatch, little, name):
    """A module that decides by a value: no graph without a break, no package."""
    import torch

    class Fickle(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    network = Little()
    monkeypatch.setattr(network, "module", Fickle)
    message = refusal(lambda: RUNNERS[name].open(network, OPTIONS).run(little[0]))
    assert message.startswith("little: ")
    assert "cannot compile the network" in message
    assert len(message) < 600


@pytest.mark.parametrize("name", NAMES)
def test_no_compiler(artifact, monkeypatch, unavailable, tmp_path, name):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    message = unavailable(lambda: RUNNERS[name].open(artifact, OPTIONS))
    assert "with g++, and that was not found (apt-get install g++" in message
    assert "pip install" not in message  # no package is the matter
    monkeypatch.setenv("CXX", "another-c++")
    assert "with another-c++, and that was not found" in RUNNERS[name].problem()
    (tmp_path / "another-c++").write_text("#!/bin/sh\n")
    (tmp_path / "another-c++").chmod(0o755)
    assert RUNNERS[name].problem() is None


def test_a_gpu_needs_triton_too(hide, with_gpus, monkeypatch):
    assert compiled_torch_problem("cpu") is None
    hide("triton")
    assert compiled_torch_problem("cpu") is None
    with_gpus("NVIDIA L4")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert "pip install triton" in compiled_torch_problem("cuda:0")


def test_weights_that_are_corrupt_are_one_line(artifact, artifact_copy):
    weights = artifact_copy / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for name in ("torch", *NAMES):
        if RUNNERS[name].problem() is None:
            refusal(lambda name=name: RUNNERS[name].open(Artifact(artifact_copy, artifact.manifest), OPTIONS))
