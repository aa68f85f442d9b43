from __future__ import annotations

import re
import shutil

import pytest
from support.made_up_measuring import counted_steps

from resnas_deploy.measuring import cases
from resnas_deploy.measuring.report import SCHEMA
from resnas_deploy.runners.openvino import OpenVinoRunner

QUICK = ("--runs", "3", "--openings", "3")
VERDICTS = "(B is faster|B is slower|cannot tell)"


def test_two_artifacts(resnas, mini_artifact, tmp_path):
    shutil.copytree(mini_artifact, tmp_path / "b")
    done = resnas("compare", mini_artifact, "b", "--batch", "1,2", *QUICK)
    lines = done.out.splitlines()
    assert lines[:2] == [f"A: mini fp32 112 ({mini_artifact}) on ort-cpu", "B: mini fp32 112 (b) on ort-cpu"]
    numbers = r"A [\d.]+ ms, B [\d.]+ ms; B takes [\d.]+ of A's time \([\d.]+ to [\d.]+\)"
    assert lines[2].startswith("on ")
    for line, batch in zip(lines[3:], (1, 2), strict=True):
        assert re.match(rf"batch {batch}, host to host: {VERDICTS}\. {numbers}", line)
        if "cannot tell" in line:
            assert re.search(r"if they differ at all, it is by less than [\d.]+%$", line)


@pytest.mark.slow
def test_a_far_slower_one_is_slower(resnas, mini_artifact, monkeypatch):
    """B runs forty times over."""
    monkeypatch.setattr(OpenVinoRunner, "step", lambda self, images: lambda: [self.run(images) for _ in range(40)])
    runners = ("--runner", "ort-cpu", "--runner", "openvino")
    done = resnas("compare", mini_artifact, mini_artifact, *runners, "--runs", "12", "--json")
    (found,) = done.json["comparisons"]
    assert found["verdict"] == "slower"
    assert 1 < found["low"] <= found["second_over_first"] <= found["high"]
    assert (found["openings"], found["more_openings"]) == (6, 0)
    assert done.json["measured"]["schema"] == SCHEMA
    assert [item["configuration"]["runner"] for item in done.json["measured"]["measurements"]] == [
        "ort-cpu",
        "openvino",
    ]


def test_what_one_of_them_cannot_run_is_said(resnas, mini_artifact, monkeypatch):
    def too_much(batch, *rest, noise=cases.noise):
        if batch == 2:
            raise MemoryError
        return noise(batch, *rest)

    monkeypatch.setattr(cases, "noise", too_much)
    done = resnas("compare", mini_artifact, mini_artifact, "--batch", "1,2", *QUICK)
    assert done.out.count("batch 1, host to host:") == 1
    assert len(re.findall(r"batch 2, host to host, \d+ threads?: out of memory", done.out)) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--runs", "0"], "runs must be at least 1, found 0"),
        (["--runs", "-2"], "runs must be at least 1, found -2"),
        (["--runs", "1"], "openings must be at least 2 for an interval, found 1"),
        (["--openings", "1"], "openings must be at least 2 for an interval, found 1"),
        (["--openings", "0"], "openings must be at least 1, found 0"),
        (["--batch", "9"], "range 1:8, found 9"),
        (["--runner", "tpu"], "--runner must be one of"),
        (["--runner", "ort-cpu", "--runner", "openvino", "--runner", "torch"], "one for A and one for B, found 3"),
    ],
)
def test_wrong_options(refused, mini_artifact, monkeypatch, options, said):
    steps = counted_steps(monkeypatch)
    assert said in refused("compare", mini_artifact, mini_artifact, *options)
    assert steps == []


def test_artifacts_that_are_none(refused, mini_artifact):
    assert "nothing: an artifact must be" in refused("compare", mini_artifact, "nothing")
    assert "Missing argument 'B'" in refused("compare", mini_artifact)
