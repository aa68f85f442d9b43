from __future__ import annotations

import json
import re
import shutil

import pytest

from resnas_deploy.bench.measurement import SCHEMA
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS

QUICK = ("--runs", "2", "--warm-up", "1")


def test_two_runners_and_two_batch_sizes(resnas, mini_artifact):
    done = resnas("bench", mini_artifact, "--runner", "ort-cpu", "--runner", "openvino", "--batch", "1,2", *QUICK)
    lines = done.out.splitlines()
    assert lines[0] == f"Latency, host to host, {usable_cores()} threads, 2 interleaved runs after 1 of warm-up"
    assert re.split("  +", lines[1]) == [
        "artifact",
        "what",
        "runner",
        "computes",
        "batch",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "images/s",
    ]
    assert [line.split()[-7:-4] for line in lines[2:]] == [
        [runner, "fp32", batch] for runner in ("ort-cpu", "openvino") for batch in ("1", "2")
    ]
    assert all(line.startswith(f"{mini_artifact}  mini fp32 112  ") for line in lines[2:])
    assert done.err == ""


def test_json_is_the_only_thing_on_stdout(resnas, mini_artifact):
    done = resnas("bench", mini_artifact, "--batch", "1, 2", "--runs", "3", "--threads", "1", "--json")
    assert done.err == ""
    assert done.json["schema"] == SCHEMA
    assert set(done.json["machine"]) == {"cpu", "cores", "system", "python"}
    assert [item["batch"] for item in done.json["measurements"]] == [1, 2]
    for item in done.json["measurements"]:
        assert len(item["samples_s"]) == 3
        assert item["warm_up"] == 5
        assert item["artifact"] == str(mini_artifact)
        assert item["label"] == "mini fp32 112"
        assert 0 < item["p50_ms"] <= item["p90_ms"] <= item["p99_ms"]
        assert item["images_per_second"] == pytest.approx(item["batch"] * 3 / sum(item["samples_s"]))
        assert "1 threads" in item["boundary"]


def test_the_same_document_is_written(resnas, mini_artifact, tmp_path):
    (tmp_path / "result.json").write_text("an earlier one")
    done = resnas("bench", mini_artifact, "--batch", "1", *QUICK, "--out", "result.json", "--json")
    assert (tmp_path / "result.json").read_text() == done.out.removesuffix("\n")
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    done = resnas("bench", mini_artifact, "--batch", "1", *QUICK, "--out", "other.json")
    assert done.out.splitlines()[-1] == "raw samples: other.json"
    assert json.loads((tmp_path / "other.json").read_text())["schema"] == SCHEMA


def test_an_interrupted_write_leaves_the_earlier_file(resnas, mini_artifact, tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    (tmp_path / "result.json").write_text("an earlier one")
    monkeypatch.setattr("pathlib.Path.write_text", fail)
    done = resnas("bench", mini_artifact, "--batch", "1", *QUICK, "--out", "result.json", code=2)
    assert done.err == (
        "resnas: result.json cannot be written: No space left on device; free some space or choose another disk\n"
    )
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json", "an earlier one")]


def test_batch_sizes_that_every_artifact_takes_unless_told(resnas, mini_artifact, untrained_artifact):
    def batches(*artifacts):
        done = resnas("bench", *artifacts, *QUICK, "--json")
        return [item["batch"] for item in done.json["measurements"]]

    assert batches(mini_artifact) == [1, 8]
    assert batches(untrained_artifact(batch="3")) == [3]
    assert batches(untrained_artifact(batch="2:8")) == [8]
    assert batches(mini_artifact, untrained_artifact(batch="2:8")) == [8, 8]


def test_artifacts_of_one_kind_can_be_told_apart(resnas, mini_artifact, tmp_path):
    for name in ("before", "after"):
        shutil.copytree(mini_artifact, tmp_path / name)
    done = resnas("bench", "before", "after", "--batch", "1", *QUICK)
    assert [line.split()[0] for line in done.out.splitlines()[2:]] == ["before", "after"]


def test_what_must_not_be_overlooked_is_in_the_table(resnas, untrained_artifact):
    done = resnas("bench", untrained_artifact(), "--batch", "1", *QUICK)
    assert "test fp32 112 (untrained weights, UNVERIFIED)" in done.out


def test_a_runner_that_can_run_every_precision(resnas, untrained_artifact):
    done = resnas("bench", untrained_artifact("fp32"), untrained_artifact("bf16"), "--batch", "1", *QUICK, "--json")
    assert {item["runner"] for item in done.json["measurements"]} == {"openvino"}


def test_what_is_given_twice_is_measured_once(resnas, mini_artifact):
    done = resnas(
        "bench", mini_artifact, "--runner", "ort-cpu", "--runner", "ort-cpu", "--batch", "1,1", *QUICK, "--json"
    )
    assert len(done.json["measurements"]) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--batch", "0"], "--batch must be batch sizes such as 1,8,32, found '0'"),
        (["--batch", "1,-2"], "found '1,-2'"),
        (["--batch", "x"], "found 'x'"),
        (["--batch", "1,,2"], "found '1,,2'"),
        (["--batch", "1:8"], "found '1:8'"),
        (["--batch", "1,9"], "the batch must lie in the artifact's range 1:8, found 9"),
        (["--runs", "0"], "runs must be at least 1, found 0"),
        (["--runs", "-1"], "runs must be at least 1, found -1"),
        (["--runs", "1e9"], "Invalid value for '--runs'"),
        (["--warm-up", "-1"], "warm-up must be at least 0, found -1"),
        (["--threads", "-1"], "Invalid value for '--threads'"),
        (["--runner", "tpu"], "a runner must be one of ort-cpu, ort-cuda, openvino, torch, found 'tpu'"),
        (["--out", "no/such/file.json"], "--out must lie in a folder that is there, found none at no/such"),
        (["--out", "."], "--out must be a file's name, found the folder ."),
        (["--out", "x" * 300], "File name too long"),
    ],
)
def test_wrong_options_are_found_before_anything_is_measured(refused, mini_artifact, monkeypatch, options, said):
    monkeypatch.setattr("resnas_deploy.bench.session.interleaved", None)
    assert said in refused("bench", mini_artifact, *options)


def test_a_precision_without_kernels(refused, untrained_artifact):
    line = refused("bench", untrained_artifact("bf16"), "--runner", "ort-cpu")
    assert "must have kernels for bf16" in line


@pytest.mark.skipif(RUNNERS["ort-cuda"].problem() is None, reason="CUDA is here")
def test_a_runner_that_is_not_here(refused, mini_artifact):
    assert "pip install onnxruntime-gpu" in refused("bench", mini_artifact, "--runner", "ort-cuda", code=5)


def test_artifacts_that_are_none(refused, mini_artifact, artifact_copy):
    assert "nothing: an artifact must be" in refused("bench", mini_artifact, "nothing")
    (artifact_copy / "weights.safetensors").write_bytes(b"changed")
    assert "weights.safetensors differs from the hash" in refused("bench", mini_artifact, artifact_copy)
