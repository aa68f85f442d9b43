from __future__ import annotations

import json
import shutil

import pytest

from resnas_deploy.measuring import cases
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores

QUICK = ("--runs", "4", "--openings", "2")
MANY = ("--runs", "24", "--openings", "6")


@pytest.fixture(scope="module")
def first_baseline(tmp_path_factory):
    """Where the first test that needs a baseline leaves it for the others."""
    return tmp_path_factory.mktemp("gate") / "baseline.json"


@pytest.fixture
def baseline(resnas, mini_artifact, first_baseline, tmp_path):
    """The name of a baseline that was made here, of a copy that a test may alter."""
    if not first_baseline.exists():
        resnas("bench", mini_artifact, "--runner", "ort-cpu", "--batch", "1", *MANY, "--out", first_baseline)
    return shutil.copy(first_baseline, tmp_path / "baseline.json")


@pytest.fixture
def doctored(baseline):
    """A function that alters the baseline's data."""

    def alter(change):
        data = json.loads(baseline.read_text())
        change(data)
        baseline.write_text(json.dumps(data))
        return baseline

    return alter


def scaled(factor):
    """Times altered so far that no verdict hangs on this machine's noise."""

    def change(data):
        for item in data["measurements"]:
            item["samples_s"] = [[factor * second for second in opening] for opening in item["samples_s"]]

    return change


def test_slower_than_a_baseline_far_slower_is_no_regression(resnas, doctored):
    done = resnas("gate", "--baseline", doctored(scaled(1000)), *QUICK)
    lines = done.out.splitlines()
    assert lines[0].startswith("Time relative to the reference workload, beside ")
    assert "now/baseline" in lines[1]
    assert lines[2].split()[-1] in ("faster", "before")
    assert "measuring again" not in done.err


def test_a_regression_is_measured_again_and_ends_with_4(resnas, doctored):
    done = resnas("gate", "--baseline", doctored(scaled(1 / 1000)), *QUICK, code=4)
    assert done.err.count("measuring again what looks slower: mini fp32 112, ort-cpu, batch 1, host to host") == 2
    last = done.err.splitlines()[-1]
    assert "1 of 1 must not be slower than in" in last
    assert "found mini fp32 112, ort-cpu, batch 1, host to host" in last
    row = done.out.splitlines()[2].split()
    assert row[-2:] == ["6", "slower"]


def test_as_json(resnas, doctored):
    path = doctored(scaled(1 / 1000))
    done = resnas("gate", "--baseline", path, *QUICK, "--json", code=4)
    assert done.json["baseline"] == str(path)
    assert done.json["differences"] == []
    assert done.json["regressed"] is True
    (change,) = done.json["changes"]
    assert (change["verdict"], change["openings"]) == ("slower", 6)
    assert change["ratio"]["low"] > 1


def test_another_machine_or_version_is_refused_and_may_be_accepted(refused, resnas, doctored):
    def change(data):
        scaled(1000)(data)
        data["machine"]["cpu"] = "a CPU"
        data["measurements"][0]["configuration"]["version"] = "onnxruntime 0.1"

    path = doctored(change)
    line = refused("gate", "--baseline", path, *QUICK)
    assert f"{path} must be of this machine and these versions, found cpu: a CPU there, " in line
    assert "ort-cpu: onnxruntime 0.1 there, onnxruntime " in line
    assert line.endswith("make a baseline here, or give --accept-different")
    done = resnas("gate", "--baseline", path, *QUICK, "--accept-different", "--json")
    assert [text.split(":")[0] for text in done.json["differences"]] == ["cpu", "ort-cpu"]
    assert done.err.count("resnas: note: different: ") == 2


def test_a_folder_of_baselines(refused, resnas, doctored, tmp_path):
    (tmp_path / "all").mkdir()
    slug = this_machine(usable_cores()).slug
    line = refused("gate", "--baseline", "all")
    assert line.endswith(
        "all must hold a baseline of this machine, found none; make one by: "
        f"resnas bench ARTIFACT.. --runs 120 --openings 12 --out all/{slug}.json"
    )
    shutil.copy(doctored(scaled(1000)), tmp_path / "all" / f"{slug}.json")
    done = resnas("gate", "--baseline", "all", *QUICK, "--json")
    assert done.json["baseline"] == f"all/{slug}.json"


def test_what_no_longer_fits_is_no_pass(resnas, doctored, monkeypatch):
    """The network of the baseline runs out of memory now."""

    def too_much(*_):
        raise MemoryError

    path = doctored(scaled(1000))
    monkeypatch.setattr(cases, "noise", too_much)
    done = resnas("gate", "--baseline", path, *QUICK, code=2)
    assert "must run here, found none of mini fp32 112, ort-cpu, batch 1" in done.err


def test_the_artifact_is_gone_or_is_another(refused, doctored, untrained_artifact, mini_artifact, tmp_path, resnas):
    def change(data):
        scaled(1000)(data)
        data["measurements"][0]["configuration"]["source"] = "gone"

    path = doctored(change)
    assert "gone: an artifact must be a folder" in refused("gate", "--baseline", path)
    line = refused("gate", untrained_artifact(), "--baseline", path)
    assert "the artifacts must be those of the baseline, of which 'mini fp32 112' is missing" in line
    resnas("gate", mini_artifact, "--baseline", path, *QUICK)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "a.json must be a readable file, found: No such file"),
        ("", "a.json must be a report of resnas bench, found an empty file; measure it again"),
        ('{"schema": 2, "mach', "a.json must be JSON, found something else (cut short?): Unterminated string"),
        ('{"schema": 99}', "a.json must have schema 2, found 99; use a newer resnas"),
        ('{"schema": 1}', "a.json must have schema 2, found 1; measure it again"),
        ("{}", "a.json must be a report of resnas bench, found JSON without a schema number"),
        ('{"schema": 2}', "a.json.machine must be there, found none"),
    ],
)
def test_baselines_that_are_none(refused, tmp_path, content, said):
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    assert said in refused("gate", "--baseline", "a.json")


def test_an_unknown_runner_or_gpu_in_the_baseline(refused, doctored):
    configuration = {}
    path = doctored(lambda data: data["measurements"][0]["configuration"].update(runner="tpu"))
    assert "a runner must be one of ort-cpu" in refused("gate", "--baseline", path)
    configuration.update(runner="torch", device="cuda:7 NVIDIA L4")
    path = doctored(lambda data: data["measurements"][0]["configuration"].update(configuration))
    assert "not available here" in refused("gate", "--baseline", path, code=5)


def test_what_ci_keeps_of_it(resnas, doctored, tmp_path):
    """Twice into one history: as before, and then slower."""
    files = ("--summary", "gate.md", "--html", "gate.html", "--history", "history.jsonl", "--force")
    path = doctored(scaled(1000))
    done = resnas("gate", "--baseline", path, *QUICK, *files, "--commit", "abc", "--branch", "main")
    assert [line for line in done.out.splitlines() if line.startswith("written: ")] == [
        "written: gate.md",
        "written: history.jsonl",
        "written: gate.html",
    ]
    assert (tmp_path / "gate.md").read_text().startswith("### Latency: none of 1 slower\n")
    done = resnas("gate", "--baseline", doctored(scaled(1e-8)), *QUICK, *files, "--json", code=4)
    assert done.json["regressed"] is True
    assert (tmp_path / "gate.md").read_text().startswith("### Latency: 1 of 1 slower")
    first, second = resnas("history", "history.jsonl", "--json").json["records"]
    assert (first["commit"], first["branch"], first["regressed"], second["regressed"]) == ("abc", "main", False, True)
    assert first["baseline_digest"] != second["baseline_digest"]
    page = (tmp_path / "gate.html").read_text()
    assert "2 runs of the gate" in page
    assert "a new baseline" in page


def test_a_part_of_the_baseline_another_threshold_and_the_commit_of_the_ci(refused, resnas, doctored, monkeypatch):
    """GitLab's variables: https://docs.gitlab.com/ci/variables/predefined_variables/."""
    monkeypatch.delenv("GITHUB_SHA", raising=False)
    monkeypatch.setenv("CI_COMMIT_SHA", "1a2b")
    path = doctored(scaled(1000))
    part = ("--runner", "ort-cpu", "--batch", "1")
    kept = ("--history", "h.jsonl", "--json")
    done = resnas("gate", "--baseline", path, *QUICK, *part, "--threshold", "5", *kept)
    assert done.json["threshold"] == 1.05
    assert resnas("history", "h.jsonl", "--json").json["records"][0]["commit"] == "1a2b"
    assert len(done.json["changes"]) == 1
    for options, said in (
        (["--runner", "openvino"], f"--runner must be of those in {path} (ort-cpu), found openvino; make a new"),
        (["--batch", "8"], f"--batch must be of those in {path} (1), found 8; make a new baseline"),
        (["--runner", "tpu"], "--runner must be one of"),
    ):
        assert said in refused("gate", "--baseline", path, *options)


def test_files_that_cannot_be_written_are_told_before_anything_is_measured(refused, baseline, tmp_path):
    (tmp_path / "there.md").write_text("mine")
    (tmp_path / "other.jsonl").write_text("{}\n")
    for options, said in (
        (["--summary", "there.md"], "there.md exists; choose another --summary, or give --force to replace a file"),
        (["--html", "none/a.html"], "--html must lie in a folder that is there"),
        (["--history", "none/a.jsonl"], "--history must lie in a folder that is there"),
        (["--history", "other.jsonl"], "other.jsonl, line 1 must be a record of resnas gate"),
        (["--summary", "a", "--html", "./a"], "--html must be another file than --summary, found a for both"),
        (["--html", baseline, "--force"], "--html must be another file than --baseline"),
    ):
        assert said in refused("gate", "--baseline", baseline, *options)


def test_wrong_options(refused, baseline):
    assert "there must be a --baseline, found none; make one by: resnas bench" in refused("gate")
    for options, said in (
        (["--runs", "0"], "runs must be at least 1, found 0"),
        (["--openings", "1"], "openings must be at least 2 for an interval, found 1"),
        (["--device", "cuda"], "the device of the runner ort-cpu must be cpu"),
    ):
        assert said in refused("gate", "--baseline", baseline, *options)
