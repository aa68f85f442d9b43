"""docs/gpu.md says yes where a committed result or a test shows it, and nowhere else."""

from __future__ import annotations

import json
from dataclasses import replace

import gpu_tables
import pytest
from gpu_tables import KERNEL, NOT_YET, STAGES, WITHOUT, Row, rows
from support.places import ROOT
from support.surveyed import outcome

from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.runners.devices import CUDA
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.surveying.results import Identity, Outcome, ReductionTimes, Step, Survey

MACHINE = Machine("A CPU", 8, "Linux x86_64", "3.11.2", ("NVIDIA H200",), "580.1")
TIMES = ReductionTimes(16, 220, 440, 8, "fp16", "Triton's kernel", 2e-5, 1.5e-5, 1e-5, 1e-4, 1e-3)
LINES = [line.split(" | ") for line in gpu_tables.gpu_paths().splitlines()[2:]]


def survey(*found, rehearsal=False):
    identity = Identity(MACHINE, "cuda:0 NVIDIA H200", {}, "0" * 12)
    steps = tuple(Step(str(number), "it", "done", 1.0, found=each) for number, each in enumerate(found))
    return Survey(1, "1.0", identity, rehearsal, False, (), (), steps)


@pytest.fixture
def results(tmp_path):
    """A function: the folder of results with the report of a GPU."""

    def with_report(*found, **options):
        report = survey(*found, **options)
        (tmp_path / "gpu-h200.json").write_text(json.dumps(report.to_json()))
        return tmp_path

    return with_report


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.name} {row.where}")
def test_every_yes_has_what_shows_it(row):
    for evidence in filter(None, (getattr(row, stage) for stage in STAGES)):
        file, _, name = evidence.partition("::")
        assert (ROOT / file).is_file()
        if name:
            assert f"def {name}(" in (ROOT / file).read_text()
        else:
            assert file.startswith("benchmarks/results/")


def test_every_way_to_run_on_a_gpu_has_a_row():
    named = {row.name for row in rows()} - {row.name for row in WITHOUT if row.name == KERNEL}
    assert named >= {f"`{name}`" for name, kind in RUNNERS.items() if CUDA in kind.devices}


def test_no_gpu_is_claimed_without_a_report(tmp_path):
    for row in rows(tmp_path):
        if row not in WITHOUT:
            assert not any(getattr(row, stage) for stage in STAGES)
    assert len(rows(tmp_path)) == len(WITHOUT) + sum(CUDA in kind.devices for kind in RUNNERS.values()) + 1


def test_a_committed_report_is_what_says_yes(results):
    """Engines were built; the logits of one were wrong, and another was not checked."""
    found = rows(
        results(
            outcome("small", "tensorrt", {1: 1.5}, graph=True),
            outcome("small", "torch", {1: 1.5}, graph=True),
            outcome("small", "ort-cuda", {1: 0.1}, graph=True, error=0.5),
            Outcome(reductions=(TIMES,)),
        )
    )
    file = "benchmarks/results/gpu-h200.json"
    by_name = {row.name: row for row in found if row not in WITHOUT}
    assert "NVIDIA H200" in by_name["`tensorrt`"].where
    assert [getattr(by_name["`tensorrt`"], stage) for stage in STAGES] == [file] * 4
    assert [getattr(by_name["`torch`"], stage) for stage in STAGES] == [None, file, file, file]
    assert [getattr(by_name["`ort-cuda`"], stage) for stage in STAGES] == [None, file, "", file]
    assert [getattr(by_name[KERNEL], stage) for stage in STAGES] == [file] * 4
    assert by_name["`tensorrt-rtx`"] == Row("`tensorrt-rtx`", gpu_tables.ANY_GPU)


def test_a_kernel_that_is_wrong_is_not_verified(results):
    found = rows(results(Outcome(reductions=(replace(TIMES, error=1.0),))))
    assert next(row for row in found if row.name == KERNEL).verified == ""


def test_a_rehearsal_shows_nothing(results):
    found = rows(results(outcome("small", "tensorrt", {1: 1.5}, graph=True), rehearsal=True))
    assert next(row for row in found if row.name == "`tensorrt`").run == ""


def test_what_the_table_says():
    cells = {cell.strip(" |") for line in LINES for cell in line[2:]}
    assert cells <= {NOT_YET, "-"} | {cell for cell in cells if cell.startswith("[yes](../")}
    assert all(len(line) == 2 + len(STAGES) for line in LINES)
