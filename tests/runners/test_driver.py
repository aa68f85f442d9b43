"""What the CUDA driver tells of the GPUs, by a driver that is compiled here; which runners and builds that refuses."""

from __future__ import annotations

import ctypes

import pytest
from support.checks import refusal
from support.documented.driver import A100, GB10, H200, L4, T4, Gpu, machine_of

from resnas_deploy.api.build import build
from resnas_deploy.api.runners import available_runners
from resnas_deploy.engines import build as building
from resnas_deploy.engines.opening import _for_runner
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.runners import devices
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

OPTIONS = Options(threads=1)
RTX = RUNNERS["tensorrt-rtx"]


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function: a machine with these GPUs."""
    return lambda *gpus, fails=0: machine_of(monkeypatch, tmp_path, *gpus, fails=fails)


def test_what_the_driver_tells(machine):
    machine(H200, L4)
    assert devices.gpus() == ("NVIDIA H200", "NVIDIA L4")
    assert [devices.capability(f"cuda:{number}") for number in range(3)] == ["90", "89", None]
    assert [devices.cache_bytes(f"cuda:{number}") for number in range(3)] == [50 << 20, 48 << 20, None]
    assert devices.capability("cpu") is devices.cache_bytes("cpu") is None
    assert devices.device_name("cuda:1") == "cuda:1 NVIDIA L4"
    assert devices.device_name("cpu") == "cpu"
    assert devices.gpu_problem("cuda:1") is devices.gpu_problem("cpu") is None
    assert "there is no cuda:2 here" in devices.gpu_problem("cuda:2")


@pytest.mark.parametrize("fails", [100, 803, 999], ids=["no device", "other versions", "unknown"])
def test_a_driver_without_gpus(machine, fails):
    machine(L4, fails=fails)
    assert devices.gpus() == ()
    assert devices.capability("cuda:0") is devices.cache_bytes("cuda:0") is None
    assert devices.gpu_problem("cuda:0") == "no NVIDIA GPU was found here"


def test_no_gpus_of_a_driver(machine):
    machine()
    assert devices.gpus() == ()


def test_what_a_driver_does_not_tell(machine):
    machine(Gpu("", "89"))
    assert devices.gpus() == ("unknown GPU",)
    assert devices.cache_bytes("cuda:0") is None


def test_long_names_are_cut(machine):
    machine(Gpu("x" * 300, "89"))
    assert devices.gpus() == ("x" * 255,)


def test_no_driver(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert devices.gpus() == ()
    assert devices.capability("cuda:0") is None


@pytest.mark.parametrize(
    "gpu", [A100, H200, Gpu("NVIDIA B200", "100"), Gpu("NVIDIA B300", "103")], ids=lambda g: g.name
)
def test_gpus_that_tensorrt_for_rtx_does_not_run_on(machine, artifact, unavailable, gpu):
    machine(gpu)
    found = f"found {gpu.name} ({devices.dotted(gpu.capability)})"
    said = f"TensorRT for RTX runs on compute capability 7.5, 8.6, 8.9, 12.0, 12.1, {found}; use tensorrt"
    assert RTX.problem().startswith(said)
    assert said in unavailable(lambda: RTX.open(artifact, OPTIONS))
    assert said in unavailable(lambda: build(artifact))
    assert said in unavailable(lambda: build(artifact, target="tensorrt-rtx"))
    assert not list(artifact.folder.glob("engines/*"))
    listed = available_runners()
    (row,) = [row for row in listed.table().rows if row[0] == "tensorrt-rtx"]
    assert row[4] == "no"
    assert said in row[5]
    (entry,) = [entry for entry in listed.to_json() if entry["name"] == "tensorrt-rtx"]
    assert not entry["available"]
    assert said in entry["problem"]


@pytest.mark.parametrize("gpu", [T4, Gpu("NVIDIA A10", "86"), L4, Gpu("NVIDIA RTX PRO 6000", "120"), GB10])
def test_gpus_that_it_runs_on(machine, gpu):
    machine(gpu)
    assert devices.rtx_problem("cuda:0") is None
    building.check_for_here(TARGETS["tensorrt-rtx"])


def test_one_that_it_runs_on_is_enough_to_build(machine):
    machine(H200, L4)
    building.check_for_here(TARGETS["tensorrt-rtx"])
    assert devices.rtx_problem("cuda:0").startswith("TensorRT for RTX")
    assert devices.rtx_problem("cuda:1") is None


def test_other_targets_are_not_asked(machine):
    machine(H200)
    for name in ("tensorrt", "aoti"):
        building.check_for_here(TARGETS[name])


@pytest.mark.parametrize(
    ("gpu", "capabilities"), [(L4, ()), (T4, ("75",)), (GB10, ("121",)), (None, ())], ids=["8.9", "7.5", "12.1", "none"]
)
def test_a_runner_builds_for_a_gpu_that_portable_engines_are_not_for(machine, gpu, capabilities):
    machine(*([gpu] if gpu else []))
    assert _for_runner(RTX, OPTIONS).capabilities == capabilities


@pytest.mark.parametrize(("gpu", "precision", "least"), [(T4, "bf16", "8.0"), (T4, "fp8", "8.9"), (A100, "fp8", "8.9")])
def test_precisions_that_a_gpu_lacks(machine, unavailable, monkeypatch, gpu, precision, least):
    """The kinds, without their packages: what is here of them does not matter."""
    machine(gpu)
    monkeypatch.setattr("resnas_deploy.runners.kind.RunnerKind.problem", lambda _kind, _device="": None)
    said = f"{precision} needs a GPU of compute capability {least} or above, found {gpu.name} ({gpu.capability[0]}."
    for name in ("ort-cuda", "ort-tensorrt", "tensorrt", "torch", "torch-compile", "aoti"):
        kind = RUNNERS[name]
        if precision in kind.precisions:
            assert said in unavailable(lambda kind=kind: kind.check(precision, "cuda"))
        else:
            assert "must have kernels for" in refusal(lambda kind=kind: kind.check(precision, "cuda"))
    RUNNERS["torch"].check("bf16", "cpu")
    for enough in ("fp32", "fp16"):
        RUNNERS["tensorrt"].check(enough, "cuda")


def test_precisions_that_a_gpu_has(machine, monkeypatch):
    machine(L4)
    monkeypatch.setattr("resnas_deploy.runners.kind.RunnerKind.problem", lambda _kind, _device="": None)
    for precision in ("fp32", "fp16", "bf16", "int8", "fp8"):
        RUNNERS["tensorrt"].check(precision, "cuda")


def test_a_build_in_a_precision_that_the_gpu_lacks(machine, unavailable, untrained_artifact, monkeypatch):
    machine(T4)
    monkeypatch.setattr(type(TARGETS["tensorrt"]), "builder", lambda _target: "tensorrt 10.16.1.11")
    message = unavailable(lambda: build(untrained_artifact("bf16"), target="tensorrt"))
    assert "the target tensorrt cannot build bf16 here: bf16 needs a GPU of compute capability 8.0" in message


def test_an_onnxruntime_that_lacks_kernels(machine, monkeypatch):
    machine(H200)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.__version__", "1.24.2")
    kind = RUNNERS["ort-cuda"]
    assert kind.problem() == "ONNX Runtime must be 1.27 or later, found 1.24.2"
    assert kind.remedy() == "pip uninstall -y onnxruntime && pip install 'resnas[gpu]'"


@pytest.mark.gpu
@pytest.mark.skipif(not devices.gpus(), reason="no NVIDIA GPU is here")
def test_a_real_driver():
    assert int(devices.capability("cuda:0")) >= 50
    assert devices.cache_bytes("cuda:0") >= 1 << 18
