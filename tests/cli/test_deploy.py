"""`resnas deploy`: what it refuses before any work, its plan, and a whole deployment without a server."""

from __future__ import annotations

import json

import pytest
from support.checks import check_schema
from support.places import DEMO

from resnas_deploy.deploying.result import read_deployment
from resnas_deploy.serving.repository.check import check_repository

QUICK = ("--p99", "60s", "--budget", "1s", "--threads", "1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((DEMO, "--repository", "m"), "--p99 must be given, the time that 99 of 100 answers must come within"),
        (
            (DEMO, "--repository", "m", "--p99", "20 parsecs"),
            "--p99 must be a time such as 20ms or 0.05s, found '20 pa",
        ),
        ((DEMO, "--repository", "m", "--p99", "0"), "--p99 must be a time such as 20ms"),
        ((DEMO, "--repository", "m", "--p99", "20", "--demand", "many"), "--demand must be requests a second such as"),
        ((DEMO, "--repository", "m", "--p99", "20", "--budget", "0"), "--budget must be a time such as 10m"),
        ((DEMO, "--repository", "m", "--p99", "20", "--runner", "openvino"), "--runner must be one that Triton serves"),
        ((DEMO, "--repository", "m", "--p99", "20", "--precision", "bf16"), "--precision must be of fp32, fp16, int8"),
        ((DEMO, "--repository", "m", "--p99", "20", "--precision", "int8"), "give --data"),
        (
            (DEMO, "--repository", "m", "--p99", "20", "--data", "nowhere"),
            "--data must be demo or a folder with train/",
        ),
        ((DEMO, "--repository", "m", "--p99", "20", "--name", "a/b"), "a model's name must be letters"),
        (
            (DEMO, "--repository", "m", "--p99", "20", "--server", "nowhere"),
            "--server must be the command resnas of an",
        ),
        (
            (DEMO, DEMO, "--repository", "m", "--p99", "20"),
            "must be one checkpoint, or artifacts of one network, found 2",
        ),
        ((DEMO, "--repository", "m", "--p99", "20", "--out", "m/x"), "--out must lie outside of the repository m"),
        (("--arch", "small", "--repository", "m", "--p99", "20", "--data", "demo"), "--data must come with trained"),
        (
            ("--repository", "m", "--p99", "20"),
            "there must be a checkpoint, artifacts or --arch, found none; try --arch small",
        ),
        (("nowhere", "--repository", "m", "--p99", "20"), "nowhere"),
    ],
)
def test_what_is_refused_before_any_work(refused, arguments, said):
    assert said in refused("deploy", *arguments)


def test_a_folder_that_is_neither_an_artifact_nor_has_a_checkpoint(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "must be an artifact, or that of a search" in refused("deploy", "empty", "--repository", "m", "--p99", "20")


def test_a_repository_that_is_a_file(refused, tmp_path):
    (tmp_path / "file").touch()
    assert "--repository must be a folder, found the file" in refused(
        "deploy", DEMO, "--repository", "file", "--p99", "20"
    )


def test_a_plan_writes_nothing(resnas, tmp_path):
    done = resnas("deploy", DEMO, "--repository", "m", "--p99", "20ms", "--budget", "10m", "--dry-run")
    assert "left out: its accuracy must be compared on labelled images, found none; give --data" in done.out
    assert not list(tmp_path.iterdir())
    found = resnas("deploy", DEMO, "--repository", "m", "--p99", "20", "--data", "demo", "--dry-run", "--json").json
    check_schema("deployment", found)
    assert found["planned"] == {"export int8": 1.5, "measure": 2.0}
    assert found["asked"]["name"] == "demo"  # and not `checkpoint`, as all are called
    assert not list(tmp_path.iterdir())


def test_from_an_architecture_to_a_repository_that_holds(resnas, tiny, tmp_path):
    done = resnas("deploy", "--arch", tiny, "--repository", "models", *QUICK, "--demand", "100")
    assert "no server is installed here, so no load test was run" in done.err
    assert "next: resnas triton load models --model tiny --p99 60000ms --plan 100rps" in done.out
    assert (tmp_path / "models" / "tiny" / "1" / "model.onnx").is_file()
    found = read_deployment(tmp_path / "tiny-deployment" / "report.json")
    check_schema("deployment", found.to_json())
    assert [each.name for each in found.candidates if not each.left_out] == ["fp32"]
    assert "give `data`" in found.candidate("int8").left_out
    assert found.chosen.setting in found.candidate("fp32").settings
    assert not found.load_tested
    page = (tmp_path / "tiny-deployment" / "report.html").read_text()
    assert "at least 1 machine for 100 requests/s" in page
    assert "untrained" not in found.chosen.why
    assert not check_repository(tmp_path / "models", "").models[0].findings

    again = resnas("deploy", "--arch", tiny, "--repository", "models", *QUICK, "--demand", "100", code=2)
    assert "tiny-deployment exists; give --resume to go on with it, or choose another --out" in again.err
    kept = json.loads((tmp_path / "tiny-deployment" / "bench.json").read_text())
    resumed = resnas("deploy", "--arch", tiny, "--repository", "models", *QUICK, "--demand", "900", "--resume")
    assert "was there already" in resumed.err
    assert json.loads((tmp_path / "tiny-deployment" / "bench.json").read_text()) == kept
    assert [path.name for path in sorted((tmp_path / "models" / "tiny").iterdir()) if path.is_dir()] == ["1"]


def test_a_model_that_takes_something_else_is_refused_before_anything_is_measured(
    resnas, tiny, mini_artifact, tmp_path
):
    resnas("triton", "export", mini_artifact, "--repository", "models", "--name", "tiny")
    before = {path: path.read_bytes() for path in (tmp_path / "models").rglob("*") if path.is_file()}
    done = resnas("deploy", "--arch", tiny, "--repository", "models", *QUICK, code=2)
    assert "every version of a model must take and give the same" in done.err
    assert "give this one another --name" in done.err
    assert not (tmp_path / "tiny-deployment" / "bench.json").exists()
    assert {path: path.read_bytes() for path in (tmp_path / "models").rglob("*") if path.is_file()} == before


def test_a_level_that_nothing_keeps_leaves_the_repository_alone(resnas, tiny, tmp_path):
    (tmp_path / "models").mkdir()
    done = resnas(
        "deploy", "--arch", tiny, "--repository", "models", "--p99", "1us", "--budget", "1s", "--threads", "1", code=2
    )
    assert "the level must be kept by something" in done.err
    assert "the nearest is fp32 with 1 instance of 1 thread" in done.err
    assert not list((tmp_path / "models").iterdir())
    assert read_deployment(tmp_path / "tiny-deployment" / "report.json").chosen is None
    assert (tmp_path / "tiny-deployment" / "report.html").is_file()
