"""TF32 is off wherever fp32 is promised, on where it is asked for, and as it was before when that is done."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest
import torch
from support.checks import refusal
from support.documented.machines import engine_file, machine_with

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.runners import tf32
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import CUDA_PROVIDER, TENSORRT_PROVIDER
from resnas_deploy.runners.ort_gpu import OrtGpuRunner
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.runners.tf32 import OVERRIDE, check_override
from resnas_deploy.runners.torch_settings import exact_on, tf32_at

BACKENDS = torch.backends
NEWER = {
    "all": BACKENDS,
    "products": BACKENDS.cuda.matmul,
    "cudnn": BACKENDS.cudnn,
    "convolutions": BACKENDS.cudnn.conv,
    "rnn": BACKENDS.cudnn.rnn,
    "cpu": BACKENDS.mkldnn,
    "cpu products": BACKENDS.mkldnn.matmul,
    "cpu convolutions": BACKENDS.mkldnn.conv,
}


def said(read):
    """What PyTorch says, or that it cannot say."""
    try:
        return read()
    except RuntimeError:
        return "mixed"


def state():
    """All that PyTorch says of float32, by both interfaces."""
    return {name: where.fp32_precision for name, where in NEWER.items()} | {
        "allowed": said(lambda: BACKENDS.cudnn.allow_tf32),
        "allowed products": said(lambda: BACKENDS.cuda.matmul.allow_tf32),
        "of products": said(torch.get_float32_matmul_precision),
    }


def by_newer(name, precision):
    return lambda: setattr(NEWER[name], "fp32_precision", precision)


STATES = {
    "untouched": (),
    "older": (lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True),),
    "older, off": (lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),),
    "by precision": (lambda: torch.set_float32_matmul_precision("medium"),),
    "newer": (by_newer("convolutions", "ieee"),),
    "newer, all": (by_newer("all", "tf32"),),
    "newer, products": (by_newer("products", "tf32"),),
    "both": (lambda: setattr(BACKENDS.cuda.matmul, "allow_tf32", True), by_newer("products", "ieee")),
    "newer, of a CPU": (by_newer("cpu products", "bf16"),),
}


@pytest.fixture
def untouched():
    """PyTorch as it is imported, now and afterwards."""
    yield
    for where in NEWER.values():
        where.fp32_precision = "none"
    torch.set_float32_matmul_precision("highest")
    BACKENDS.cudnn.allow_tf32 = True
    for name in ("products", "cpu products", "cpu convolutions", "cudnn"):
        NEWER[name].fp32_precision = "none"


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", STATES)
def test_both_interfaces_of_pytorch(name):
    """Mixed use of the two raises in PyTorch itself; neither does so here, and what somebody has set is set again."""
    start = state()
    for change in STATES[name]:
        change()
    before = state()
    with exact_on():
        assert computed() == dict.fromkeys(computed(), "ieee")
        assert (BACKENDS.cudnn.allow_tf32, BACKENDS.cuda.matmul.allow_tf32) == (False, False)
        assert torch.get_float32_matmul_precision() == "highest"
        with tf32_at(True):
            assert [computed()[what] for what in ("products", "convolutions", "rnn")] == ["tf32"] * 3
            assert (BACKENDS.cudnn.allow_tf32, BACKENDS.cuda.matmul.allow_tf32) == (True, True)
            torch.get_float32_matmul_precision()
        assert computed() == dict.fromkeys(computed(), "ieee")
    after = state()
    # Where the two contradicted each other, PyTorch refused to say what the older one is; the newer one is what counts.
    assert {what: value for what, value in after.items() if before[what] != "mixed"} == {
        what: value for what, value in before.items() if value != "mixed"
    }
    assert start["allowed"] is True


def computed():
    """What convolutions and products are computed in."""
    return {name: NEWER[name].fp32_precision for name in NEWER if name not in ("all", "cpu")}


@pytest.mark.usefixtures("untouched")
def test_settings_end_in_any_order():
    before = state()
    first, second = exact_on(), tf32_at(True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert BACKENDS.cuda.matmul.allow_tf32
    second.__exit__(None, None, None)
    assert state() == before


@pytest.mark.usefixtures("untouched")
def test_a_runner_on_a_cpu_is_exact_too(artifact):
    """`torch.set_float32_matmul_precision("medium")` computes products in bf16 on a CPU that can."""
    torch.set_float32_matmul_precision("medium")
    assert NEWER["cpu products"].fp32_precision == "bf16"
    with RUNNERS["torch"].open(artifact, Options(1)):
        assert NEWER["cpu products"].fp32_precision == "ieee"
    assert NEWER["cpu products"].fp32_precision == "bf16"


@pytest.mark.parametrize("name", ["ort-cpu", "openvino", "torch"])
def test_there_is_none_on_a_cpu(artifact, name):
    message = refusal(lambda: RUNNERS[name].open(artifact, Options(1, tf32=True)))
    assert message == f"`tf32` must be for a GPU, found the runner {name} on the CPU; leave it out"


def test_the_environment_decides():
    for environment, asked in (({}, False), ({}, True), ({OVERRIDE: "0"}, False), ({OVERRIDE: "1"}, True)):
        check_override(tf32=asked, environment=environment)
    assert "must come without NVIDIA_TF32_OVERRIDE=0" in refusal(
        lambda: check_override(tf32=True, environment={OVERRIDE: "0"})
    )
    for value in ("1", ""):
        line = refusal(lambda value=value: check_override(tf32=False, environment={OVERRIDE: value}))
        assert "must be unset or 0 where float32 is computed on a GPU" in line


@pytest.mark.parametrize("name", ["ort-cuda", "ort-tensorrt", "tensorrt"])
def test_a_runner_on_a_gpu_asks_the_environment(artifact, untrained_artifact, monkeypatch, with_gpus, name):
    with_gpus("NVIDIA L4")
    kind = replace(
        RUNNERS[name], module="numpy", device_problem=lambda _device: None, build_problem=lambda _device: None
    )
    monkeypatch.setenv(OVERRIDE, "1")
    assert "must be unset or 0" in refusal(lambda: kind.check_opening(artifact, Options(1)))
    kind.check_opening(artifact, Options(1, tf32=True))
    kind.check_opening(open_artifact(untrained_artifact("fp16")), Options(1))  # which has no float32


@pytest.fixture
def opening(artifact, monkeypatch):
    """A function: what the variable is while ONNX Runtime opens a session, and the options it is given."""
    monkeypatch.delenv(OVERRIDE, raising=False)
    monkeypatch.setattr(tf32, "_first_seen", {})
    monkeypatch.setattr("resnas_deploy.runners.ort_gpu.load_libraries", lambda _provider: None)
    monkeypatch.setattr("resnas_deploy.runners.ort_gpu.has_memory", lambda: False)

    def of(provider, **options):
        seen = []

        def refuse(*_args, providers, **_kwargs):
            seen.append((os.environ.get(OVERRIDE), dict(providers)))
            raise NotAvailable("no GPU")

        monkeypatch.setattr("onnxruntime.InferenceSession", refuse)
        with pytest.raises((NotAvailable, BadInput)) as caught:
            OrtGpuRunner(artifact, Options(1, device="cuda:0", **options), name="ort", provider=provider)
        if not seen:
            raise caught.value
        return seen[0]

    return of


@pytest.mark.parametrize("asked", [False, True])
def test_onnx_runtimes_cuda_provider_has_an_option(opening, asked):
    variable, providers = opening(CUDA_PROVIDER, tf32=asked)
    assert providers[CUDA_PROVIDER]["use_tf32"] == str(int(asked))
    assert variable is None


@pytest.mark.parametrize("asked", [False, True])
def test_onnx_runtimes_tensorrt_provider_goes_by_the_variable(opening, asked):
    variable, providers = opening(TENSORRT_PROVIDER, tf32=asked)
    assert variable == (None if asked else "0")
    assert providers[CUDA_PROVIDER]["use_tf32"] == str(int(asked))  # for what TensorRT leaves
    assert OVERRIDE not in os.environ


def test_the_variable_holds_for_the_first_session(opening, monkeypatch):
    """TensorRT goes on with what it has read (onnxruntime #26029)."""
    opening(TENSORRT_PROVIDER)
    with tf32.tensorrt_in_this_process(tf32=False) as rounds:
        assert not rounds
    with pytest.raises(BadInput, match="run this in a process of its own"):
        opening(TENSORRT_PROVIDER, tf32=True)
    for before, rounds in ((None, True), ("0", False)):  # of somebody who has loaded TensorRT already
        monkeypatch.setattr(tf32, "_first_seen", {})
        monkeypatch.setattr(tf32.here, "has_loaded", lambda _library: True)
        monkeypatch.delenv(OVERRIDE, raising=False)
        if before:
            monkeypatch.setenv(OVERRIDE, before)
        with tf32.tensorrt_in_this_process(tf32=False) as found:
            assert found is rounds


def test_libraries_that_are_loaded():
    assert sys.modules  # of which this process has loaded what follows
    assert tf32.here.has_loaded("libonnxruntime.so") or tf32.here.has_loaded("libtorch_cpu.so")
    assert not tf32.here.has_loaded("libnvinfer.so.99")


def test_an_engine_says_itself(artifact, tmp_path, monkeypatch):
    """One of before TF32 could be chosen says nothing, and had it on."""
    machine_with(monkeypatch, "NVIDIA L4")
    built, opened = engine_file(tmp_path, artifact), RUNNERS["tensorrt"].open_network
    for recorded, computes in (({}, "tf32"), ({"tf32": False}, "fp32"), ({"tf32": True}, "tf32")):
        engine = replace(
            built, made_of={key: value for key, value in built.made_of.items() if key != "tf32"} | recorded
        )
        with opened(artifact, Options(1, device="cuda:0", engine=engine)) as runner:
            assert runner.computes == computes
    engine = replace(built, made_of=built.made_of | {"tf32": False})
    line = refusal(lambda: opened(artifact, Options(1, device="cuda:0", engine=engine, tf32=True)))
    assert "`tf32` must be in the engine that runs" in line
