"""The page and the tables: everything that was found is shown, and nothing of a text becomes a tag."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.surveyed import MACHINE, model, outcome

from resnas_deploy.api.gpu_report import GpuReport
from resnas_deploy.surveying.aims import aims_of
from resnas_deploy.surveying.page import page_of
from resnas_deploy.surveying.results import (
    NO_TIME,
    Absent,
    Here,
    Identity,
    Outcome,
    ReductionTimes,
    Step,
    Survey,
    TestRun,
    TrainingTimes,
)

FOUND = (
    Outcome(
        here=Here(
            "cuda:0 Some GPU", "9.0", 2**37, "13.0", ("torch",), (Absent("tensorrt", "no package", "pip install it"),)
        )
    ),
    Outcome(tests=TestRun("1 failed, 12 passed in 3 s", 12, ("tests/a.py::test_x - nothing",), cut=False)),
    outcome("small", "torch-compile-max", {1: 3.0, 8: 4.0, 256: 24.0}, baseline=True, graph=True),
    outcome("small", "tensorrt", {1: 1.5, 8: 2.0, 256: 16.0}, graph=True),
    outcome("small", "ort-cuda", {1: 0.5}, graph=True, error=0.25),
    Outcome(reductions=(ReductionTimes(14, 220, 440, 64, "fp16", "Triton's kernel", 9e-5, 6e-5, 2e-5, 1e-3, 5e-3),)),
    Outcome(training=TrainingTimes("masked", "small", 256, 64, "bf16", (0.5, 0.4, 0.6), 9.0, 2**34)),
    model(0.01, 0.03),
)


@pytest.fixture
def survey():
    steps = [Step(f"step-{number}", "something", "done", 1.0, "x", found=found) for number, found in enumerate(FOUND)]
    steps += [
        Step("evil", "a crash", "failed", 1.0, "x", "<script>alert(1)</script>"),
        Step(
            "small-fp8-tensorrt", "no runner", "missing", 0.0, "x", "the runner tensorrt is not here: no package", "y"
        ),
        Step("later", "something else", "left out", 0.0, error=NO_TIME),
    ]
    identity = Identity(MACHINE, "cuda:0", {"torch": "2.11"}, "sizes")
    aims = aims_of(FOUND, rehearsal=False)
    return Survey(1, "0.1", identity, False, False, ("something has changed",), aims, tuple(steps))


def test_the_page(survey):
    page = page_of(survey).html()
    for text in (
        "cuda:0 Some GPU, compute capability 9.0, 128 GiB, driver 1.2",
        "something has changed",
        "pytest -m gpu: 1 failed, 12 passed in 3 s",
        "failed: tests/a.py::test_x - nothing",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "pip install it",
        "14x14 of 220 to 440, fp16, Triton&#x27;s kernel",
        "masked, space small, bf16, groups of 64",
        "WRONG: more than 5.0e-03",
        "plain small on torch-compile-max, CUDA graph 3 ms, device only",
        "no time was left for it",
        "latency model",
    ):
        assert text in page
    assert "<script>alert" not in page
    assert page.count("not measured") == 1  # DeiT-B


def test_the_tables_that_are_printed(survey, tmp_path):
    report = GpuReport(survey, tmp_path)
    tables = {table.title: table for table in report.tables()}
    assert list(tables) == [
        "Times",
        "The reduction's kernel alone",
        "Training steps of a supernet",
        "Latency model of the space small, torch (torch 2), fp16, batch 1, 1 threads, 2 networks",
        "Aims",
        "What is not here",
        "What failed",
    ]
    assert tables["What failed"].rows == [("evil", "<script>alert(1)</script>", "logs/evil.log")]
    assert tables["What is not here"].rows == [("tensorrt", "no package", "pip install it")]  # and said once
    assert tables["Training steps of a supernet"].rows[0][2:] == ("500.0", "512.0", "9.0", "16.00")
    assert tables["The reduction's kernel alone"].rows[0][2:] == ("90.0", "60.0", "20.0", "3.00", "1.0e-03")
    assert "no time was left for 1 step, later first; the same command with `minutes` 60 goes on" in report.notes()
    assert {path.runner: path.verified for path in survey.paths()} == {
        "torch-compile-max": False,
        "tensorrt": True,
        "ort-cuda": False,
    }


def test_a_rehearsal_says_so_everywhere(survey):
    page = page_of(replace(survey, rehearsal=True)).html()
    assert "a rehearsal on a CPU: no figure means anything" in page
    assert "Training steps of a supernet (rehearsed)" in page
