"""A whole deployment: with a real server, killed and gone on with, and on a GPU where there is one."""

from __future__ import annotations

import os
import signal
import sys
from subprocess import PIPE, Popen

import numpy as np
import pytest
from support.checks import check_schema
from support.places import DEMO, ROOT
from support.processes import wait_for
from support.triton_server import PYTHON, command, leftovers, needs_server

import resnas_deploy as resnas
from resnas_deploy.deploying.result import read_deployment
from resnas_deploy.runners.devices import gpus
from resnas_deploy.serving.repository.check import check_repository

NO_GPU = pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
LEVEL = ("--p99", "60s", "--demand", "40", "--budget", "6s")  # which a busy machine keeps too
SERVED = ("--p99", "500ms", "--demand", "40", "--budget", "6s")  # a load test lasts many times the level


def deploying(folder, *arguments):
    """`resnas deploy` in a process of its own, in this environment."""
    return Popen(
        [sys.executable, "-m", "resnas_deploy", "deploy", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    )


def ended(process):
    """What a deployment printed, and its exit code; one that takes too long is ended with what it started."""
    try:
        out, err = process.communicate(timeout=500)
    finally:
        process.terminate()
    return out, err, process.returncode


def checked(folder, name):
    """The report of a deployment in `folder`, whose repository holds what it claims."""
    found = read_deployment(folder / f"{name}-deployment" / "report.json")
    check_schema("deployment", found.to_json())
    assert [model.findings for model in check_repository(folder / "models", "").models] == [()]
    return found


@pytest.mark.slow
@needs_server
def test_a_server_of_another_environment_is_asked_and_what_it_showed_is_chosen_by(tmp_path):
    program = PYTHON.parent / "resnas"
    out, err, code = ended(
        deploying(
            tmp_path,
            DEMO,
            "--repository",
            "models",
            *SERVED,
            "--data",
            "demo",
            "--server",
            program,
            "--name",
            "clothes",
        )
    )
    assert code == 0, err
    found = checked(tmp_path, "clothes")
    assert found.load_tested
    assert "next: resnas triton serve models" in out
    tried = [each for each in found.candidates if each.load]
    assert tried
    assert found.chosen.setting == found.candidate(found.chosen.name).load.setting
    assert all(level.p99_ms is None or level.p99_ms > 0 for each in tried for level in each.load.levels)
    assert found.candidate(found.chosen.name).load.requests_per_second > 0
    accuracy = found.candidate("int8").accuracy
    assert accuracy.graph > 80
    assert accuracy.drop <= 0.5
    page = (tmp_path / "clothes-deployment" / "report.html").read_text()
    assert "What a real server answered" in page
    assert f"{accuracy.graph:.2f}" in page


@pytest.mark.slow
@needs_server
def test_artifacts_are_deployed_where_the_server_is_without_torch(tmp_path, mini_artifact):
    folder = tmp_path / "work"
    folder.mkdir()
    process = command("deploy", mini_artifact, "--repository", "models", *SERVED, cwd=folder)
    _, err, code = ended(process)
    assert code == 0, err
    found = checked(folder, "mini")
    assert found.load_tested
    assert found.chosen.name == "fp32"
    assert leftovers(process) == []
    again = command("deploy", mini_artifact, "--repository", "models", *SERVED, "--resume", cwd=folder)
    _, err, code = ended(again)
    assert code == 0, err
    assert "was there already" in err
    assert read_deployment(folder / "mini-deployment" / "report.json").candidates == found.candidates


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["steps/export-0.json", "steps/export-1.json", "steps/measure.json"])
def test_killed_and_gone_on_with(tmp_path, stage):
    """Whenever it is killed the repository is not there or whole, and what was made is not made again."""
    arguments = (DEMO, "--repository", "models", *LEVEL, "--data", "demo", "--precision", "fp32,int8", "--name", "demo")
    work = tmp_path / "demo-deployment"
    process = deploying(tmp_path, *arguments)
    wait_for(lambda: (work / stage).exists(), lambda: process.poll() is None, patience=200)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    made = [path for path in ("artifacts/fp32", "artifacts/int8", "bench.json") if stage_of(path) <= stage]
    before = {path: (work / path).stat().st_mtime_ns for path in made}
    assert before
    assert not (tmp_path / "models").exists() or not check_repository(tmp_path / "models", "").models[0].findings

    resumed = deploying(tmp_path, *arguments, "--resume")
    _, err, code = ended(resumed)
    assert code == 0, err
    assert {path: (work / path).stat().st_mtime_ns for path in made} == before
    assert checked(tmp_path, "demo").chosen
    assert [path.name for path in sorted((tmp_path / "models" / "demo").iterdir()) if path.is_dir()] == ["1"]


def stage_of(path):
    """The step after which a result is there."""
    steps = {"artifacts/fp32": "steps/export-0.json", "artifacts/int8": "steps/export-1.json"}
    return steps.get(path, "steps/measure.json")


@pytest.mark.slow
def test_int8_that_loses_more_than_it_may_is_left_out_with_the_figure(tmp_path, monkeypatch, few_images):
    """Its ranges were learnt of dim noise, and whoever exported it took the loss."""
    monkeypatch.chdir(tmp_path)
    noise = 0.38 * np.random.default_rng(0).standard_normal((128, 3, 32, 32))
    np.save("dim.npy", noise.astype(np.float32))
    dim = {"calibration": "dim.npy", "data": "demo", "max_drop": 100, "fallback_minutes": 0}
    lossy = resnas.export(checkpoint=DEMO, out="lossy", precision="int8", threads=1, **dim)
    plain = resnas.export(checkpoint=DEMO, out="plain", threads=1)
    drop = lossy.manifest.verification.accuracy.drop
    assert drop > 0
    found = resnas.deploy(
        [plain, lossy], repository="models", p99=60_000, budget=0.05, threads=1, max_drop=drop / 2, out="a", name="a"
    )
    assert found.found.chosen.name == "fp32"
    why = found.found.candidate("int8").left_out
    assert f"loses more than `max_drop` {drop / 2:g}: top-1" in why
    assert "loses more than" in (tmp_path / "a" / "report.html").read_text()


@pytest.mark.gpu
@NO_GPU
@pytest.mark.parametrize("runner", ["tensorrt", "ort-cuda"])
def test_on_a_gpu(tmp_path, monkeypatch, runner):
    monkeypatch.chdir(tmp_path)
    found = resnas.deploy(DEMO, repository="models", p99=1000, budget=0.5, precisions=["fp16"], runner=runner, out="a")
    found.check()
    assert found.found.chosen.name == "fp16"
    version = tmp_path / "models" / "demo" / "1"
    assert (version / ("model.plan" if runner == "tensorrt" else "model.onnx")).is_file()
    assert "KIND_GPU" in (version.parent / "config.pbtxt").read_text()
