"""Engines that ONNX Runtime's TensorRT provider built are kept in a folder, each for its own network."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal
from support.documented.onnxruntime_gpu import CUDA, TENSORRT, TIMINGS, Runtime, check_tensorrt

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.plan import Effort, Subject
from resnas_deploy.runners import ort_tensorrt, tf32
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import TENSORRT_PROVIDER
from resnas_deploy.runners.ort_gpu import OrtGpuRunner
from resnas_deploy.runners.registry import RUNNERS

NAME = "ort-tensorrt"


@pytest.fixture
def runtime(monkeypatch, with_gpus):
    """ONNX Runtime on a machine with a GPU."""
    with_gpus("NVIDIA L4")
    made = Runtime()
    monkeypatch.delenv(tf32.OVERRIDE, raising=False)
    monkeypatch.setattr(tf32, "_first_seen", {})
    monkeypatch.setattr("onnxruntime.InferenceSession", made.open)
    monkeypatch.setattr("resnas_deploy.runners.ort_gpu.load_libraries", lambda _provider: None)
    monkeypatch.setattr("resnas_deploy.runners.ort_gpu.has_memory", lambda: False)
    return made


def opened(network, folder="", **options):
    options = Options(1, device="cuda:0", engine_cache=str(folder), **options)
    return OrtGpuRunner(network, options, name=NAME, provider=TENSORRT_PROVIDER)


def test_it_is_built_once(runtime, artifact, images, expected, near, tmp_path):
    for folder in ("", "", tmp_path / "new" / "cache", tmp_path / "new" / "cache"):
        with opened(artifact, folder) as runner:
            near(runner.run(images)[OUTPUT], expected, 1e-5)
            assert runner.computes == "fp32"
    assert len(runtime.built) == 3  # twice without a folder, once with one
    assert runtime.built[-1].startswith(f"{artifact.digest}_")
    assert (tmp_path / "new" / "cache" / TIMINGS).exists()
    assert not any(name.startswith("trt_engine_cache") for name in runtime.sessions[0].providers[TENSORRT])


def test_networks_of_the_same_names_are_not_mixed_up(
    runtime, artifact, untrained_artifact, images, near, monkeypatch, tmp_path
):
    """By itself the provider takes one for the other (onnxruntime #32254, #6455)."""
    other = open_artifact(untrained_artifact())
    with RUNNERS["torch"].open(other, Options(1)) as runner:
        wanted = runner.run(images)[OUTPUT]
    with opened(artifact, tmp_path), opened(other, tmp_path) as runner:
        near(runner.run(images)[OUTPUT], wanted, 1e-5)
    assert len(set(runtime.built)) == 2
    assert {name.partition("_")[0] for name in runtime.built} == {artifact.digest, other.digest}


def test_engines_that_round_have_another_name(artifact, tmp_path):
    names = [ort_tensorrt.caching(tmp_path, artifact, rounds=rounds)["trt_engine_cache_prefix"] for rounds in (0, 1)]
    assert names == [artifact.digest, f"{artifact.digest}_tf32"]


def test_rounding_is_that_of_the_first_session(runtime, artifact, monkeypatch):
    with opened(artifact, tf32=True) as runner:
        assert runner.computes == "tf32"
        assert runtime.sessions[-1].tf32
        assert runtime.sessions[-1].cuda_tf32
    with opened(artifact) as runner:  # it is too late to turn it off
        assert runner.computes == "tf32"
        assert runtime.sessions[-1].tf32
    monkeypatch.setattr(tf32, "_first_seen", {})
    runtime.override.clear()
    with opened(artifact) as runner:
        assert runner.computes == "fp32"
        assert not runtime.sessions[-1].tf32
        assert not runtime.sessions[-1].cuda_tf32


def test_whoever_cannot_keep_engines_refuses(artifact, tmp_path):
    line = "`engine_cache` must be for the runner ort-tensorrt, found ort-cpu; leave it out"
    assert line == refusal(lambda: RUNNERS["ort-cpu"].open(artifact, Options(1, engine_cache=str(tmp_path))))
    subjects = [Subject(artifact, RUNNERS["ort-cpu"])]
    assert line == refusal(lambda: Effort(engine_cache=str(tmp_path)).plan(subjects))
    taken = tmp_path / "file"
    taken.write_text("")
    assert "`engine_cache` must be a folder" in refusal(lambda: ort_tensorrt.caching(taken, artifact, rounds=False))


def test_tf32_is_of_gpus_and_of_float32(artifact, untrained_artifact):
    asked = Effort(tf32=True)
    assert "must be for a GPU" in refusal(lambda: asked.plan([Subject(artifact, RUNNERS["ort-cpu"])]))
    kind = replace(RUNNERS["ort-cuda"], module="numpy", device_problem=lambda _: None, build_problem=lambda _: None)
    half = open_artifact(untrained_artifact("fp16"))
    assert "must come with something in float32, found fp16" in refusal(lambda: asked.plan([Subject(half, kind)]))
    assert asked.plan([Subject(artifact, kind), Subject(half, kind)]).tf32


def test_the_double_is_as_strict_as_the_provider():
    for options in ({"trt_tf32_enable": "True"}, {"trt_engine_cache_enable": "1"}, {"trt_engine_cache_path": ""}):
        with pytest.raises(RuntimeError):
            check_tensorrt(options)
    with pytest.raises(TypeError):
        check_tensorrt({"trt_engine_cache_enable": True})
    assert CUDA != TENSORRT
