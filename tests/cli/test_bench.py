from __future__ import annotations

import json
import re
import shutil

import pytest
from support.made_up_measuring import counted_steps

from resnas_deploy.measuring import cases
from resnas_deploy.measuring.machine.description import instructions_here
from resnas_deploy.measuring.machine.instructions import in_words
from resnas_deploy.measuring.report import SCHEMA, read_report
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS

QUICK = ("--runs", "2")
ONE = ("--batch", "1", *QUICK)


def rows(done):
    """Cells of the first table's rows."""
    lines = done.out.splitlines()
    return [re.split("  +", line) for line in lines[2:] if line.startswith(("/", "before", "after"))]


def test_two_runners_and_two_batch_sizes(resnas, mini_artifact):
    done = resnas("bench", mini_artifact, "--runner", "ort-cpu", "--runner", "openvino", "--batch", "1,2", *QUICK)
    lines = done.out.splitlines()
    cpu = f"a CPU with {in_words(instructions_here())}"
    assert lines[0] == f"2 interleaved runs in 2 openings, {usable_cores()} threads, {cpu}"
    columns = ["artifact", "what", "runner", "computes", "batch", "p50 ms", "±", "p90 ms", "p99 ms", "images/s"]
    assert re.split("  +", lines[1])[:10] == columns
    assert [(row[2], row[4]) for row in rows(done)] == [
        (runner, batch) for runner in ("ort-cpu", "openvino") for batch in ("1", "2")
    ]
    assert all(row[:2] == [str(mini_artifact), "mini fp32 112"] for row in rows(done))
    assert all(line.startswith("resnas: note: ") for line in done.err.splitlines())


def test_json_is_the_only_thing_on_stdout(resnas, mini_artifact):
    done = resnas("bench", mini_artifact, "--batch", "1, 2", "--runs", "3", "--threads", "1", "--json")
    assert done.json["schema"] == SCHEMA
    assert done.json["reference"]["samples_s"]
    assert done.json["conditions"]["cores"] == usable_cores()
    assert isinstance(done.json["warnings"], list)
    for item, batch in zip(done.json["measurements"], (1, 2), strict=True):
        assert item["configuration"]["batch"] == batch
        assert item["configuration"]["source"] == str(mini_artifact)
        assert "1 threads" in item["configuration"]["boundary"]
        assert [len(opening) for opening in item["samples_s"]] == [1, 1, 1]
        assert item["ceiling_from"] == "made up"
        figures = item["figures"]
        assert 0 < figures["p50_ms"] <= figures["p90_ms"] <= figures["p99_ms"]
        total = sum(map(sum, item["samples_s"]))
        assert figures["images_per_second"] == pytest.approx(batch * 3 / total)


def test_the_document_is_written(resnas, refused, mini_artifact, tmp_path):
    done = resnas("bench", mini_artifact, *ONE, "--out", "result.json", "--json")
    assert (tmp_path / "result.json").read_text() == done.out
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    assert read_report(tmp_path / "result.json").to_json() == done.json
    line = refused("bench", mini_artifact, *ONE, "--out", "result.json")
    assert "result.json exists; choose another --out, or give --force" in line
    done = resnas("bench", mini_artifact, *ONE, "--out", "result.json", "--force")
    assert done.out.splitlines()[-1] == "written: result.json"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_a_plot(resnas, refused, mini_artifact, tmp_path, suffix):
    pytest.importorskip("matplotlib")
    done = resnas("bench", mini_artifact, *ONE, "--plot", f"plot{suffix}")
    assert done.out.splitlines()[-1] == f"written: plot{suffix}"
    assert "Share of time, by the runtime's own profile" in done.out
    assert (tmp_path / f"plot{suffix}").stat().st_size > 10_000
    line = refused("bench", mini_artifact, *ONE, "--plot", f"plot{suffix}")
    assert "choose another --plot" in line


def test_streams_have_throughput_alone(resnas, mini_artifact):
    done = resnas("bench", mini_artifact, *ONE, "--streams", "1,2")
    one, two = (row for row in rows(done))
    assert (one[5], two[5]) == ("1", "2")
    assert two[6:10] == ["-"] * 4
    assert float(two[10]) > 0


def test_one_opening_has_no_say_on_others(resnas, mini_artifact):
    done = resnas("bench", mini_artifact, "--batch", "1", "--runs", "3", "--openings", "1")
    assert rows(done)[0][6] == "-"


def test_an_interrupted_write_leaves_the_earlier_file(resnas, mini_artifact, tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    (tmp_path / "result.json").write_text("an earlier one")
    monkeypatch.setattr("pathlib.Path.write_text", fail)
    done = resnas("bench", mini_artifact, *ONE, "--out", "result.json", "--force", code=2)
    assert "result.json cannot be written: No space left on device; free some space" in done.err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json", "an earlier one")]


def test_batch_sizes_that_every_artifact_takes_unless_told(resnas, mini_artifact, untrained_artifact):
    def batches(*artifacts):
        done = resnas("bench", *artifacts, *QUICK, "--json")
        return [item["configuration"]["batch"] for item in done.json["measurements"]]

    assert batches(mini_artifact) == [1, 8]
    assert batches(untrained_artifact(batch="3")) == [3]
    assert batches(mini_artifact, untrained_artifact(batch="2:8")) == [8, 8]


def test_artifacts_of_one_kind_can_be_told_apart(resnas, mini_artifact, tmp_path):
    for name in ("before", "after"):
        shutil.copytree(mini_artifact, tmp_path / name)
    assert [row[0] for row in rows(resnas("bench", "before", "after", *ONE))] == ["before", "after"]


def test_what_must_not_be_overlooked_is_in_the_table(resnas, untrained_artifact):
    assert "test fp32 112 (untrained weights, UNVERIFIED)" in resnas("bench", untrained_artifact(), *ONE).out


def test_a_runner_that_can_run_every_precision(resnas, untrained_artifact):
    done = resnas("bench", untrained_artifact("fp32"), untrained_artifact("bf16"), *ONE, "--json")
    assert {item["configuration"]["runner"] for item in done.json["measurements"]} == {"openvino"}


def test_what_is_given_twice_is_measured_once(resnas, mini_artifact):
    twice = ("--runner", "ort-cpu", "--runner", "ort-cpu", "--batch", "1,1")
    assert len(resnas("bench", mini_artifact, *twice, *QUICK, "--json").json["measurements"]) == 1


def test_a_batch_that_does_not_fit_is_a_row(resnas, mini_artifact, monkeypatch):
    def too_much(batch, *rest, noise=cases.noise):
        if batch == 2:
            raise MemoryError
        return noise(batch, *rest)

    monkeypatch.setattr(cases, "noise", too_much)
    done = resnas("bench", mini_artifact, "--batch", "1,2,4", *QUICK, "--runner", "ort-cpu")
    assert [row[5] == "out of memory" for row in rows(done)] == [False, True, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--batch", "0"], "--batch must be batch sizes such as 1,8,32, found '0'"),
        (["--batch", "1,-2"], "found '1,-2'"),
        (["--batch", "x"], "found 'x'"),
        (["--batch", "1:8"], "found '1:8'"),
        (["--batch", "1,9"], "the batch must lie in the graph's range 1:8, found 9"),
        (["--runs", "0"], "runs must be at least 1, found 0"),
        (["--runs", "-1"], "runs must be at least 1, found -1"),
        (["--runs", "1e9"], "Invalid value for '--runs'"),
        (["--runs", "100001"], "--runs must be at most 100000, found 100001"),
        (["--openings", "0"], "openings must be at least 1, found 0"),
        (["--runs", "3", "--openings", "4"], "--runs must be at least as many as --openings, 4, found 3"),
        (["--streams", "0"], "--streams must be numbers of sessions such as 1,2, or auto, found '0'"),
        (["--streams", "auto,2"], "--streams must be numbers of sessions such as 1,2, or auto, found 'auto,2'"),
        (["--minutes", "2"], "--minutes must come with --streams auto, found 1"),
        (["--streams", "2", "--latency-limit", "9"], "--latency-limit must come with --streams auto, found 2"),
        (["--streams", "auto", "--minutes", "0"], "--minutes must be more than 0, found 0"),
        (["--streams", "auto", "--minutes", "nan"], "nan is not a finite number"),
        (["--streams", "auto", "--latency-limit", "-1"], "--latency-limit must be more than 0 ms, found -1"),
        (["--streams", "auto", "--batch", "4000"], "must lie in the graph's range"),
        (["--streams", "auto", "--cuda-graph"], "a CUDA graph must be captured on a GPU"),
        (["--streams", "auto", "--engine-cache", "x"], "--engine-cache must be for the runner ort-tensorrt"),
        (["--streams", "9999"], "streams must be from 1 to 64, found 9999"),
        (["--threads", "-1"], "Invalid value for '--threads'"),
        (["--runner", "tpu"], "--runner must be one of ort-cpu, ort-cuda"),
        (["--runner", "ort-cpu", "--device", "cuda"], "the device of the runner ort-cpu must be cpu, found 'cuda'"),
        (["--cuda-graph"], "a CUDA graph must be captured on a GPU"),
        (["--peer", "resnet"], "resnet"),
        (["--plot", "a.pdf"], "a plot must end in .png, .svg, .html, found a.pdf"),
        (["--plot", "."], "--plot must be a file's name"),
        (["--out", "no/such/file.json"], "--out must lie in a folder that is there, found none at no/such"),
        (["--out", "."], "--out must be a file's name, found the folder ."),
        (["--out", "x" * 300], "File name too long"),
    ],
)
def test_wrong_options_are_found_before_anything_is_measured(refused, mini_artifact, monkeypatch, options, said):
    steps = counted_steps(monkeypatch)
    assert said in refused("bench", mini_artifact, *options)
    assert steps == []


def test_nothing_to_measure(refused):
    assert "there must be something to measure" in refused("bench")


def test_a_precision_without_kernels(refused, untrained_artifact):
    assert "must have kernels for bf16" in refused("bench", untrained_artifact("bf16"), "--runner", "ort-cpu")


@pytest.mark.skipif(RUNNERS["ort-cuda"].problem() is None, reason="CUDA is here")
@pytest.mark.parametrize("options", [["--runner", "ort-cuda"], ["--runner", "torch", "--device", "cuda:7"]])
def test_a_runner_or_a_gpu_that_is_not_here(refused, mini_artifact, options):
    assert "is not available here" in refused("bench", mini_artifact, *options, code=5)


def test_artifacts_that_are_none(refused, mini_artifact, artifact_copy):
    assert "nothing: an artifact must be" in refused("bench", mini_artifact, "nothing")
    (artifact_copy / "weights.safetensors").write_bytes(b"changed")
    assert "weights.safetensors differs from the hash" in refused("bench", mini_artifact, artifact_copy)


@pytest.mark.slow
def test_a_ceiling_is_measured_and_kept(resnas, mini_artifact, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = resnas("bench", mini_artifact, *ONE, "--json")
    assert done.json["measurements"][0]["ceiling_ms"] > 0
    for path in (tmp_path / "cache" / "resnas").glob("*.json"):  # none where the machine was busy
        assert json.loads(path.read_text())["ceilings"]
