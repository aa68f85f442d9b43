from __future__ import annotations

import importlib.util
import json
import shutil

import pytest

from resnas_deploy.errors import PackageMissing
from resnas_deploy.serving.repository.config import parse
from resnas_deploy.serving.server.installed import find_server


@pytest.fixture
def models(resnas, mini_artifact, tmp_path):
    resnas("triton", "export", mini_artifact, "--repository", "models", "--ensemble")
    return tmp_path / "models"


def test_export_and_check(resnas, models, mini_artifact):
    done = resnas("triton", "export", mini_artifact, "--repository", models, "--ensemble")
    assert done.out.splitlines() == [
        f"{models}/mini_preprocess/1 (was there already)",
        f"{models}/mini/2",
        f"{models}/mini_jpeg/1 (was there already)",
        f"next: resnas triton check {models}   or   resnas triton serve {models}",
    ]
    assert resnas("triton", "export", mini_artifact, "--repository", "models", "--json").json == [
        {"folder": f"{models}/mini/3", "version": 3, "new": True}
    ]
    rows = resnas("triton", "check", "models").out.splitlines()[2:]
    assert [row.split()[0] for row in rows] == ["mini", "mini_jpeg", "mini_preprocess"]
    assert all(row.rstrip().endswith("holds") for row in rows)


def test_an_artifact_in_doubt_is_said_to_be(resnas, mini_checkpoint):
    resnas("export", "--checkpoint", mini_checkpoint, "--unverified", "--out", "unverified")
    err = resnas("triton", "export", "unverified", "--repository", "models").err
    assert "note: unverified is marked UNVERIFIED; check it by resnas verify" in " ".join(err.split())


def test_check_ends_with_3_and_says_what_does_not_hold(resnas, models):
    path = models / "mini" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 9"))
    done = resnas("triton", "check", "models", "--json", code=3)
    problem = "mini version 1: max_batch_size must be from 1 to the artifact's 8, found 9"
    assert done.json[0]["findings"] == [problem]
    assert problem in done.err


def test_batches_follow_from_measured_latencies(resnas, mini_artifact, tmp_path):
    resnas("bench", mini_artifact, "--batch", "1,2,4", "--runs", "4", "--openings", "2", "--out", "measured.json")
    path = tmp_path / "measured.json"
    data = json.loads(path.read_text())
    for item in data["measurements"]:  # a batch takes 10 ms and 1 ms for each image, on any machine
        took = 0.01 + 0.001 * item["configuration"]["batch"]
        item["samples_s"] = [[took for _ in opening] for opening in item["samples_s"]]
    path.write_text(json.dumps(data))
    options = ("--measured", "measured.json", "--latency", "100")
    resnas("triton", "export", mini_artifact, "--repository", "models", *options)
    config = parse((tmp_path / "models" / "mini" / "config.pbtxt").read_text(), "config.pbtxt")
    assert list(config.dynamic_batching.preferred_batch_size) == [2, 4]
    assert config.dynamic_batching.max_queue_delay_microseconds == 72_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--latency", "50"), "--latency must come with --measured"),
        (("--backend", "pytorch"), "a backend must be one of python, onnxruntime, tensorrt, found 'pytorch'"),
        (("--backend", "tensorrt", "--gpu"), "must be given an engine"),
        (("--max-batch", "9"), "the largest batch must be from 1 to the exported 8"),
        (("--name", "../x"), "a model's name must be letters"),
        (("--measured", "nothing.json"), "nothing.json"),
        (("--setting", "nothing.json"), "nothing.json"),
        (("--setting", "x.json", "--instances", "2"), "--instances must be left out with --setting, which says it"),
    ],
)
def test_an_export_that_cannot_be(refused, mini_artifact, options, said):
    assert said in refused("triton", "export", mini_artifact, "--repository", "models", *options)


def test_what_is_no_artifact(refused, mini_artifact, tmp_path):
    (tmp_path / "x.engine").touch()
    assert "an engine in one (engines/ID.engine), must be given" in refused(
        "triton", "export", "x.engine", "--repository", "models"
    )
    (tmp_path / "file").touch()
    assert "file" in refused("triton", "export", mini_artifact, "--repository", "file")


def test_two_of_one_name(refused, mini_artifact, tmp_path):
    shutil.copytree(mini_artifact, tmp_path / "other" / "mini")
    line = refused("triton", "export", mini_artifact, "other/mini", "--repository", "models")
    assert "must have names of their own, found 'mini' more than once" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("check", "nothing"), "a model repository must be a folder, found none at nothing"),
        (("check", "."), "must have a model, found none"),
        (("check", "models", "--url", "http://localhost:8000"), "must be the server's gRPC address"),
        (("check", "models", "--url", "127.0.0.1:9"), "a server must answer at 127.0.0.1:9"),
        (("check", "models", "--release", "newest"), "a Triton release must be one"),
        (("load", "nothing"), "a server must be given as grpc://HOST:PORT or http://HOST:PORT, found 'nothing'"),
        (("load", "127.0.0.1:9"), "a server must answer at 127.0.0.1:9"),
        (("load", "127.0.0.1:9", "--protocol", "http"), "--protocol must come with a folder"),
        (("load", "models", "--protocol", "ftp"), "--protocol must be grpc, http, or both (grpc,http), found 'ftp'"),
        (("load", "models", "--plan", "20000rps"), "--plan must come with --p99"),
        (("load", "models", "--p99", "0ms"), "--p99 must be a time such as 50ms"),
        (("load", "models", "--plan", "5ms", "--p99", "9"), "--plan must be requests a second such as 50 or 50rps"),
        (
            ("load", "models", "--concurrency", "0"),
            "--concurrency must be numbers from 1 to 4096 such as 1,8,32, found 0",
        ),
        (("load", "models", "--concurrency", "1;2"), "--concurrency must be numbers such as 1,8,32, found '1;2'"),
        (("load", "models", "--rate", "0"), "--rate must be requests a second such as 50 or 50rps, found '0'"),
        (("load", "models", "--rate", "5ms"), "--rate must be requests a second such as 50 or 50rps, found '5ms'"),
        (("load", "models", "--plot", "load.pdf"), "a plot must end in"),
        (("load", "models", "--out", "missing/load.json"), "--out must lie in a folder that is there"),
    ],
)
def test_a_request_that_cannot_be(refused, mini_artifact, resnas, tmp_path, arguments, said):
    if "models" in arguments:
        resnas("triton", "export", mini_artifact, "--repository", "models", "--backend", "onnxruntime")
    assert said in refused("triton", *arguments)


@pytest.mark.parametrize("command", ["export", "check", "serve", "load"])
def test_without_the_extra(refused, mini_artifact, monkeypatch, command):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "tritonclient" else find(name, *rest)
    )
    more = ("--repository", "models") if command == "export" else ()
    line = refused("triton", command, mini_artifact, *more, code=5)
    assert "tritonclient" in line
    assert "pip install 'resnas[serve]'" in line


def test_a_server_is_installed_in_an_environment_of_its_own(monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pytriton" else find(name, *rest)
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageMissing) as caught:
        find_server(tmp_path)
    assert caught.value.install == "python3 -m venv serving && serving/bin/pip install 'resnas[serve]'"
