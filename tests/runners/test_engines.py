"""Engines on GPUs that are documented and not here: contexts, graphs, profiles, memory, and the cache of RTX.

The logits are those of the artifact's graph, which ONNX Runtime runs inside the double of the engine.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.checks import refusal
from support.documented.machines import L4, L40, engine_file, machine_with
from support.documented.tensorrt_runtime import RTX, TENSORRT

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.tensorrt import TensorRTRunner

both = pytest.mark.parametrize("module", [TENSORRT, RTX])
captured = pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])


@pytest.fixture
def machine(monkeypatch):
    """A function that makes the package find a machine."""
    return lambda *gpus, **rest: machine_with(monkeypatch, *(gpus or (L4,)), **rest)


@pytest.fixture
def opened(artifact, tmp_path):
    """A function: a runner of an engine of `artifact` with these profiles."""

    def make(module=TENSORRT, *profiles, device="cuda:0", graph=False, **changes):
        built = engine_file(tmp_path, artifact, *profiles, **changes)
        options = Options(1, device=device, cuda_graph=graph, engine=built)
        return TensorRTRunner(artifact, options, name=module.replace("_", "-"), module=module)

    return make


@both
@captured
def test_the_logits_of_every_batch_size(machine, opened, images, expected, near, module, graph):
    here = machine(module=module)
    with opened(module, graph=graph) as runner:
        steps = {batch: runner.step(images[:batch]) for batch in (1, 3, 8)}
        for batch in (1, 3, 8, 1):
            near(steps[batch](), expected[:batch], 1e-5)
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)
            near(runner.run(images[8 - batch :])[OUTPUT], expected[8 - batch :], 1e-5)  # others in the same graph
        seconds = runner.device_step(images[:3])
        assert seconds() > 0
        near(runner.run(images[:3])[OUTPUT], expected[:3], 1e-5)
        assert len(here.cuda.graphs) == (3 if graph else 0)
        assert "pinned host memory" in runner.boundary
        assert ("captured CUDA graph" in runner.boundary) == ("captured CUDA graph" in runner.device_boundary) == graph
        assert "one stream" in runner.device_boundary
    assert not here.cuda.graphs
    assert not here.cuda.streams


@captured
def test_everything_is_freed(machine, opened, images, graph):
    here = machine()
    with opened(graph=graph) as runner:
        logits = runner.step(images[:2])()
        assert here.cuda.left() > 5
    assert np.isfinite(logits).all()  # pinned memory that somebody looks at is still there
    assert here.cuda.left() == 1
    del logits
    assert here.cuda.left() == 0


def test_each_graph_has_a_context_and_memory_of_its_own(machine, opened, images):
    """The double refuses two graphs of one context, or of one activation memory; launched contexts share theirs."""
    here = machine(module=RTX)
    with opened(RTX, graph=True) as runner:
        for batch in (1, 2, 4, 8):
            runner.run(images[:batch])
        held = [set(graph.holds) for graph in here.cuda.graphs.values()]
        assert len(set.union(*held)) == 4


@both
def test_the_profile_that_is_tuned_nearest(machine, opened, images, expected, near, module):
    here = machine(module=module)
    profiles = ((1, 1, 1), (1, 2, 4), (1, 8, 8), (6, 6, 8))
    with opened(module, *profiles) as runner:
        for batch, number in ((1, 0), (2, 1), (4, 1), (5, 2), (6, 3), (8, 2)):
            here.ran.clear()
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)
            assert {(shape[0], profile) for _, shape, profile in here.ran} == {(batch, number)}


@both
def test_a_batch_outside_every_profile(machine, opened, images, module):
    machine(module=module)
    with opened(module, (1, 1, 1), (4, 4, 6)) as runner:
        for call in (runner.run, runner.step, runner.device_step):
            message = refusal(lambda call=call: call(images[:2]))
            assert "must lie in one of its profiles 1:1:1, 4:4:6, found 2" in message
        runner.run(images[:4])  # nothing is lost


def test_images_of_another_type_or_size(machine, opened, images):
    machine()
    with opened() as runner:
        assert "must be float32 of shape (B, 3, 112, 112), found float64" in refusal(
            lambda: runner.run(images[:1].astype(np.float64))
        )
        assert "found float32 of shape (1, 3, 56, 56)" in refusal(lambda: runner.run(images[:1, :, ::2, ::2]))


def test_images_that_are_not_contiguous(machine, opened, images, expected, near):
    machine()
    turned = np.asfortranarray(images[:2])
    with opened() as runner:
        near(runner.run(turned)[OUTPUT], expected[:2], 1e-5)
        near(runner.run(images[::4])[OUTPUT], expected[::4], 1e-5)


def test_runners_of_one_engine_share_it(machine, opened, images, expected, near):
    """Each stream is a runner: contexts and a stream of its own, the weights once on the GPU."""
    here = machine()
    with opened() as one, opened() as other:
        assert here.loaded == 1
        assert len(here.cuda.streams) == 2
        near(one.run(images[:2])[OUTPUT], expected[:2], 1e-5)
        near(other.run(images[2:4])[OUTPUT], expected[2:4], 1e-5)
    with opened():
        assert here.loaded == 2


@captured
def test_another_gpu_and_another_thread(machine, opened, images, expected, near, graph):
    """The current GPU is each thread's own."""
    here = machine(L4, L40)
    with opened(device="cuda:1", gpu=L40, graph=graph) as runner, ThreadPoolExecutor(1) as other:
        assert runner.device == f"cuda:1 {L40}"
        step = runner.step(images[:2])
        near(other.submit(step).result(), expected[:2], 1e-5)
        near(other.submit(runner.run, images[:3]).result()[OUTPUT], expected[:3], 1e-5)
        assert here.cuda.device == 0


def test_an_engine_for_another_gpu(machine, opened):
    machine(L4, L40)
    message = refusal(lambda: opened(device="cuda:1"))
    assert f"must be for the GPU that runs it, cuda:1 {L40}, found one for {L4}" in message


@both
def test_an_engine_of_another_version(machine, opened, module):
    here = machine(module=module)
    message = refusal(lambda: opened(module, version="1.0"))
    assert "found that it cannot be loaded: IRuntime::deserializeCudaEngine: Error Code 1: The engine plan" in message
    assert here.cuda.left() == 0


def test_host_code_is_allowed_where_the_identity_says_so(machine, opened, images, expected, near):
    machine()
    with opened(version="10.15", host_code=True) as runner:
        near(runner.run(images[:1])[OUTPUT], expected[:1], 1e-5)


def test_host_code_is_not_allowed_otherwise(machine, artifact, tmp_path):
    machine()
    built = engine_file(tmp_path, artifact, host_code=True)
    built.made_of["version_compatible"] = False
    options = Options(1, device="cuda:0", engine=built)
    message = refusal(lambda: TensorRTRunner(artifact, options, name="tensorrt", module=TENSORRT))
    assert "contains host code" in message


def test_memory_that_runs_out(machine, opened, images):
    from resnas_deploy.errors import BadInput
    from resnas_deploy.measuring.machine.memory import is_out_of_memory

    here = machine()
    here.cuda._memory = 2**20
    with opened() as runner, pytest.raises(BadInput) as caught:
        runner.run(images)
    assert is_out_of_memory(caught.value)
    assert "cudaMalloc failed: out of memory" in str(caught.value)


# TensorRT for RTX


@captured
def test_kernels_are_compiled_before_they_run(machine, opened, images, graph):
    here = machine(module=RTX)
    with opened(RTX, graph=graph) as runner:
        runner.run(images[:2])
        runner.run(images[:2])
    assert {kernels for kernels, _, _ in here.ran} == {"specialised"}  # a graph of fallback kernels would stay one
    assert here.compiled == [(2, 3, 112, 112)]


def test_what_was_compiled_is_kept(machine, opened, images, tmp_path):
    here = machine(module=RTX)
    with opened(RTX) as runner:
        runner.run(images[:2])
    cache = tmp_path / f"{'a' * 64}.cache"
    kept = cache.read_bytes()
    with opened(RTX) as runner:
        runner.run(images[:2])
        assert here.compiled == [(2, 3, 112, 112)]
        assert cache.read_bytes() == kept
        runner.run(images[:1])
    assert len(here.compiled) == 2
    assert cache.read_bytes() != kept
    assert sorted(path.name for path in tmp_path.iterdir()) == [cache.name, f"{'a' * 64}.engine"]


@pytest.mark.parametrize("content", [b"", b"damaged", b"[", b'[["tensorrt_rtx", "1.0", "NVIDIA L4"], []]'])
def test_a_cache_that_is_of_no_use_is_replaced(machine, opened, images, expected, near, tmp_path, caplog, content):
    here = machine(module=RTX)
    cache = tmp_path / f"{'a' * 64}.cache"
    cache.write_bytes(content)
    with caplog.at_level(logging.WARNING), opened(RTX) as runner:
        near(runner.run(images[:2])[OUTPUT], expected[:2], 1e-5)
    assert f"{cache} is damaged, or of another GPU, driver or version" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING), opened(RTX) as runner:
        runner.run(images[:2])
    assert not caplog.text
    assert len(here.compiled) == 1


def test_a_cache_that_is_no_file(machine, opened, images, tmp_path, caplog):
    machine(module=RTX)
    (tmp_path / f"{'a' * 64}.cache").mkdir()
    with caplog.at_level(logging.INFO), opened(RTX) as runner:
        runner.run(images[:2])
    assert "must be a file, found a folder" in caplog.text
    assert "cannot be kept" in caplog.text


def test_an_engine_that_cannot_be_captured(machine, opened, images):
    machine(module=RTX)
    with opened(RTX, user_allocation=False) as runner:
        runner.run(images[:2])
    with opened(RTX, user_allocation=False, graph=True) as runner:
        message = refusal(lambda: runner.run(images[:2]))
    assert "build it again by `build()`, or leave `cuda_graph` out" in message
