"""A survey goes on whatever its steps do, is resumed, and says what became of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT
from support.processes import gone
from support.signalled_commands import running
from support.survey_doubles import CHILDREN, GO, RUNS, STEPS, WHERE, step

import resnas_deploy as resnas
from resnas_deploy.progress import silent
from resnas_deploy.surveying import process
from resnas_deploy.surveying.kept import read_survey
from resnas_deploy.surveying.survey import Asked, survey

SCRIPT = ("-m", "support.survey_doubles", "gpu-report")
ON_CPU = ("--device", "cpu")


@pytest.fixture
def where(tmp_path, monkeypatch):
    """The folder in which doubles note what they do; their processes find them."""
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.setenv(WHERE, str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    return folder


def noted(where, name=RUNS):
    path = where / name
    return path.read_text().splitlines() if path.exists() else []


def run(out, *steps, **asked):
    return survey(Asked(out, asked.pop("minutes", 5), "cpu", steps=steps, **asked), silent)


@pytest.mark.slow
def test_each_way_to_fail_costs_one_step(tmp_path, where, monkeypatch):
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    found = run(tmp_path / "out", *STEPS)
    ends = {item.name: (item.status, item.error) for item in found.steps}
    assert ends.pop("good-first") == ends.pop("good-last") == ("done", None)
    status, error = ends.pop("abort")
    assert status == "failed"
    assert error.startswith("it was ended by SIGABRT: Fatal Python error: Aborted")
    assert ends.pop("hang") == ("failed", "it took longer than its 2 s and was ended")
    assert ends.pop("memory") == ("failed", "this needs more memory than there is")
    status, error = ends.pop("garbage")
    assert status == "failed"
    assert error.startswith("the step garbage must hand over its result as JSON, found: ")
    assert ends.pop("nothing") == ("failed", "it found nothing")
    status, error = ends.pop("raises")
    assert status == "failed"
    assert error.startswith("RuntimeError: CUDA error: an illegal memory access was encountered")
    assert ends.pop("missing") == ("missing", "the package tensorrt is not installed")
    assert ends.pop("killed")[1] == "it was ended by SIGKILL (by somebody, or by the kernel for want of memory)"
    assert ends == {}
    gone(map(int, noted(where, CHILDREN)))  # the hanging one's, too, in its group or out of it
    _check_documents(tmp_path / "out", found)


def _check_documents(out, found):
    """What was returned was written; the table of failures names each with its first line; logs are bounded."""
    assert read_survey(out / "report.json") == found
    page = (out / "report.html").read_text()
    for name in ("abort", "hang", "memory", "garbage", "raises", "killed"):
        assert f"<td>{name}</td>" in page
    assert "pip install tensorrt" in page
    log = (out / "logs" / "garbage.log").read_text()
    assert ".. 4" in log
    assert "lines were left out" in log
    assert len(log) < 100_000
    assert "about to crash" in (out / "logs" / "abort.log").read_text()
    assert json.loads((out / "steps" / "abort.json").read_text())["status"] == "failed"
    assert sorted(item.name for item in out.iterdir()) == [
        "logs",
        "report.html",
        "report.json",
        "steps",
        "survey.json",
    ]


def test_what_has_ended_is_not_run_again_unless_it_is_named(tmp_path, where):
    out, steps = tmp_path / "out", (step("good-a"), step("good-b"), step("raises"))
    run(out, *steps)
    first = (out / "steps" / "raises.json").stat().st_mtime_ns
    again = run(out, *steps)
    assert [item.status for item in again.steps] == ["done", "done", "failed"]
    assert (len(noted(where)), (out / "steps" / "raises.json").stat().st_mtime_ns) == (2, first)
    run(out, *steps, names=("r*", "good-b"))
    assert len(noted(where)) == 3
    assert (out / "steps" / "raises.json").stat().st_mtime_ns > first


def test_other_packages_are_said_and_everything_is_measured_again(tmp_path, where, monkeypatch):
    from resnas_deploy.surveying import identity

    out, steps = tmp_path / "out", (step("good-a"), step("good-b"))
    run(out, *steps)
    own = identity.packages()
    monkeypatch.setattr(identity, "packages", lambda: own | {"torch": "99.0"})
    found = run(out, *steps, names=("good-a",))
    assert len(noted(where)) == 3
    assert [item.status for item in found.steps] == ["done", "left out"]  # the other one is of other packages
    (said,) = found.notes
    assert said.startswith("measured again, since what is here has changed: torch: ")
    assert said.endswith("then, 99.0 now")


@pytest.mark.slow
def test_a_damaged_step_is_run_again(tmp_path, where):
    out, steps = tmp_path / "out", (step("good-a"), step("good-b"))
    run(out, *steps)
    (out / "steps" / "good-a.json").write_text('{"name": ')
    (out / "steps" / "good-b.json").write_text((out / "steps" / "good-b.json").read_text().replace("0.25", '"fast"'))
    assert [item.status for item in run(out, *steps).steps] == ["done", "done"]
    assert len(noted(where)) == 4


def test_no_time(tmp_path, where):
    found = run(tmp_path / "out", step("good"), step("raises"), minutes=0)
    assert [item.status for item in found.steps] == ["left out"] * 2
    assert noted(where) == []
    assert resnas.gpu_report(tmp_path / "cpu", minutes=0, device="cpu").notes()[-1].startswith("no time was left for ")


def test_a_step_that_the_end_of_all_time_cut_is_left_out_and_not_a_failure(tmp_path, where, monkeypatch):
    monkeypatch.setattr(process, "GRACE_S", 0.3)
    monkeypatch.setattr("resnas_deploy.surveying.survey._LEAST_S", 0.5)
    found = run(tmp_path / "out", step("waits"), step("good"), minutes=4 / 60)
    assert [item.status for item in found.steps] == ["left out"] * 2
    (where / GO).touch()
    assert [item.status for item in run(tmp_path / "out", step("waits"), step("good")).steps] == ["done"] * 2


def test_killed_and_resumed(tmp_path, where, monkeypatch):
    monkeypatch.setenv("RESNAS_TEST_STEPS", "good-a waits good-b")
    with running(tmp_path / "work", "--out", "out", *ON_CPU, script=SCRIPT) as command:
        command.wait_for(lambda _: len(noted(where)) > 1)
        child = int(noted(where)[1].split()[1])
        command.end(signal.SIGKILL)
    gone([child])
    out = tmp_path / "work" / "out"
    assert not (out / "report.json").exists()
    (where / GO).touch()
    with running(tmp_path / "work", "--out", "out", *ON_CPU, script=SCRIPT) as command:
        printed, said = command.process.communicate()
    assert command.process.returncode == 0, said
    assert [line.split()[0] for line in noted(where)] == ["good", "waits", "waits", "good", "good"]
    assert [item.status for item in read_survey(out / "report.json").steps] == ["done"] * 3
    assert "written: out/report.html" in printed
    assert "a rehearsal on a CPU: no figure means anything" in said


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted(tmp_path, where, monkeypatch, number):
    monkeypatch.setenv("RESNAS_TEST_STEPS", "good-a waits good-b")
    with running(tmp_path / "work", "--out", "out", *ON_CPU, script=SCRIPT) as command:
        command.wait_for(lambda _: len(noted(where)) > 1)
        code, _, said = command.end(number)
    assert code == 128 + number
    found = read_survey(tmp_path / "work" / "out" / "report.json")
    assert (found.interrupted, [item.status for item in found.steps]) == (True, ["done", "left out", "left out"])
    assert "resnas: note: interrupted: the same command goes on from there" in said
    assert {item.error for item in found.steps[1:]} == {"the run was interrupted before it ended"}
    assert "no time was left" not in said
    gone([int(noted(where)[1].split()[1])])
    assert command.left() == []


def test_two_at_once(tmp_path, where, monkeypatch):
    monkeypatch.setenv("RESNAS_TEST_STEPS", "waits")
    with running(tmp_path / "work", "--out", "out", *ON_CPU, script=SCRIPT) as command:
        command.wait_for(lambda _: noted(where))
        with pytest.raises(resnas.BadInput, match="one run at a time"):
            run(tmp_path / "work" / "out", step("good"))
        (where / GO).touch()
        command.process.communicate()
    assert command.process.returncode == 0


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(resnas.BadInput, match=r"must be empty or of a GPU report, found thesis.tex in it; choose"):
        run(tmp_path / "out", step("good"))
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    with pytest.raises(resnas.BadInput, match=r"must be a folder|exists"):
        run(tmp_path / "out" / "thesis.tex", step("good"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, "`device` must be cuda, cuda:N or cpu, found 'gpu'"),
        (
            {"device": "cpu", "steps": ["fast"]},
            "`steps` must name steps, or patterns .*, found 'fast'; there are h",
        ),
        (
            {"device": "cpu", "tests": "nowhere"},
            "`tests` must be a checkout .*, found no folder tests in nowhere",
        ),
        ({"device": "cpu", "minutes": -1}, "`minutes` must be from 0 to 10000, found -1"),
    ],
)
def test_wrong_input(tmp_path, arguments, message):
    with pytest.raises(resnas.BadInput, match=message):
        resnas.gpu_report(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU here")
def test_no_gpu(tmp_path):
    with pytest.raises(resnas.NotAvailable, match="a GPU must be here to be measured, and no NVIDIA GPU was found"):
        resnas.gpu_report(tmp_path / "out")


def test_a_missing_base_package_is_one_line():
    program = (
        "import sys, importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name in ('scipy', 'PIL') else found(name, *rest)\n"
        "sys.modules['scipy'] = sys.modules['PIL'] = None\n"
        "sys.argv = ['resnas', 'gpu-report', '--out', 'nowhere', '--device', 'cpu']\n"
        "from resnas_deploy.cli.app import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == (
        "resnas: this needs packages that are not installed: pillow scipy; install it with: pip install pillow scipy\n"
    )


@pytest.mark.parametrize("size", ["64k", pytest.param("4m", marks=pytest.mark.slow)])
def test_a_full_disk(tmp_path, where, size):
    """Too small for anything: one line. Too small for a network: a step that says so, and a report."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        if size == "64k":
            (disk / "filling").write_bytes(b"x" * 60_000)
            (disk / "out").mkdir()
            with pytest.raises(resnas.StorageError, match="No space left on device"):
                run(disk / "out", *(step(f"garbage-{number}") for number in range(20)))
        else:
            found = resnas.gpu_report(disk / "out", device="cpu", steps=["here", "tiny-fp32-torch"])
            ends = {item.name: item for item in found.survey.steps if item.status != "left out"}
            assert ends["here"].status == "done"
            assert ends["tiny-fp32-torch"].status == "failed"
            assert "No space left on device" in ends["tiny-fp32-torch"].error
    finally:
        subprocess.run(["umount", str(disk)], check=True)
