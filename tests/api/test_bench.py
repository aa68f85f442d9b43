"""`bench`, `compare` and `gate` from Python: what they return, and what they leave alone."""

from __future__ import annotations

import inspect
import json
import logging
import os
import resource
import signal
from dataclasses import replace

import pytest
from support.checks import refusal
from support.made_up_measuring import counted_steps
from support.seen_page import Seen

import resnas_deploy as resnas
from resnas_deploy.cli import bench as bench_command
from resnas_deploy.cli import compare as compare_command
from resnas_deploy.cli import gate as gate_command
from resnas_deploy.errors import BadInput, RegressionFound
from resnas_deploy.measuring import cases
from resnas_deploy.measuring.report import read_report

ONE = {"runners": ["ort-cpu"], "batches": [1], "runs": 4, "openings": 2}


@pytest.fixture(autouse=True)
def quick(small_reference, cache_home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))


@pytest.fixture(scope="module")
def report(mini_artifact, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("resnas_deploy.measuring.machine.roofline.PRODUCT_SECONDS", 0.1)
        patch.setattr("resnas_deploy.measuring.machine.roofline.MEMORY_SECONDS", 0.1)
        return resnas.bench(mini_artifact, **ONE | {"runs": 24, "openings": 6})


def scaled(report, factor):
    """The report as if all had taken so many times as long."""
    items = [
        replace(item, samples_s=tuple(tuple(factor * second for second in opening) for opening in item.samples_s))
        for item in report.measurements
    ]
    return replace(report, measurements=tuple(items))


def test_a_report_is_saved_drawn_and_shown(report, tmp_path):
    (item,) = report.measurements
    assert (item.configuration.batch, item.configuration.runner) == (1, "ort-cpu")
    assert [len(opening) for opening in item.samples_s] == [4] * 6
    report.save(tmp_path / "a.json")
    assert read_report(tmp_path / "a.json").to_json() == report.to_json()
    assert json.loads((tmp_path / "a.json").read_text())["schema"]
    assert "a.json exists" in refusal(lambda: report.save(str(tmp_path / "a.json")))
    report.save(tmp_path / "a.json", force=True)
    shown = report._repr_html_()
    assert "24 interleaved runs in 6 openings" in shown
    assert f"{item.figures.p50_ms:.1f}</td>" in shown
    report.plot(tmp_path / "a.html")
    latency, throughput = Seen((tmp_path / "a.html").read_text()).data
    assert latency["series"][0]["y"] == [pytest.approx(item.figures.p50_ms, rel=1e-4)]
    assert throughput["series"][0]["y"] == [pytest.approx(item.figures.images_per_second, rel=1e-4)]
    assert "a plot must end in .png, .svg, .html" in refusal(lambda: report.plot("a.pdf"))


def test_an_artifacts_own_method_is_silent_unless_listened_to(mini_artifact, capfd):
    told = []
    found = resnas.open(mini_artifact).bench(**ONE, shares=True, progress=told.append)
    assert found.measurements[0].shares
    assert "Share of time" in found._repr_html_()
    assert told[-1].startswith("where the time goes: ")
    assert capfd.readouterr() == ("", "")


def test_nothing_of_the_process_is_changed(mini_artifact, tmp_path):
    torch = pytest.importorskip("torch")

    def state():
        return (
            dict(os.environ),
            torch.get_num_threads(),
            torch.get_float32_matmul_precision(),
            resource.getrlimit(resource.RLIMIT_DATA),
            signal.getsignal(signal.SIGINT),
            [logging.getLogger(name).level for name in ("matplotlib", "torch.onnx", "resnas_deploy")],
        )

    before = state()
    found = resnas.bench(mini_artifact, runners=["torch", "ort-cpu"], batches=[1], runs=2, threads=1, shares=True)
    found.plot(tmp_path / "a.svg")
    assert state() == before


def test_what_there_must_be(mini_artifact, monkeypatch):
    steps = counted_steps(monkeypatch)
    assert "found no artifact; name folders, or give `peers`" in refusal(lambda: resnas.bench([]))
    for wrong, said in (
        ({"runs": 0}, "`runs` must be at least 1, found 0"),
        ({"threads": -1}, "`threads` must be from 0 to 1024, found -1"),
        ({"batches": [9]}, "range 1:8, found 9"),
        ({"streams": [0]}, "`streams` must be from 1 to 64, found 0"),
        ({"streams": []}, "`streams` must be numbers of sessions such as 1,2, or auto, found none"),
    ):
        assert said in refusal(lambda wrong=wrong: resnas.bench(mini_artifact, **wrong))
    three = ["ort-cpu", "openvino", "torch"]
    assert "there must be one of `runners`" in refusal(
        lambda: resnas.compare(mini_artifact, mini_artifact, runners=three)
    )
    assert steps == []


def test_one_compared_with_itself(mini_artifact):
    found = resnas.compare(mini_artifact, resnas.open(mini_artifact), batches=[1, 2], runs=4, openings=2)
    assert [item.first.configuration.batch for item in found.comparisons] == [1, 2]
    assert found.verdict in ("faster", "slower", "cannot tell")
    assert set(found.to_json()) == {"comparisons", "measured"}
    assert found.table().columns[2] == "verdict"
    assert "mini fp32 112" in found._repr_html_()
    nothing = replace(found, comparisons=())
    assert nothing.verdict == "cannot tell"


def test_what_differs_by_batch_size_has_no_one_verdict(mini_artifact, report):
    found = resnas.compare(mini_artifact, mini_artifact, runs=4, openings=2)
    (item,) = found.comparisons
    slower, faster = (replace(item, ratio=replace(item.ratio, value=v, low=v, high=v)) for v in (2.0, 0.5))
    assert replace(found, comparisons=(slower, slower)).verdict == "slower"
    assert replace(found, comparisons=(slower, faster)).verdict == "cannot tell"


@pytest.mark.slow
def test_a_gate_that_passes_and_one_that_does_not(report, mini_artifact, tmp_path):
    effort = {"runs": 24, "openings": 6}
    passed = resnas.gate(scaled(report, 1000), **effort)
    assert not passed.regressed
    passed.check()
    assert "threads" not in passed.table().columns
    (change,) = passed.changes
    searched = replace(change, configuration=replace(change.configuration, threads=change.configuration.threads + 1))
    table = replace(passed, changes=(change, searched)).table()
    place = table.columns.index("threads")
    assert [row[place] for row in table.rows] == [str(each.configuration.threads) for each in (change, searched)]
    scaled(report, 1 / 1000).save(tmp_path / "fast.json")
    failed = resnas.gate(tmp_path / "fast.json", [mini_artifact], **effort)
    assert failed.regressed
    assert failed.slower == failed.changes
    assert failed.changes[0].openings == 18
    with pytest.raises(RegressionFound, match="1 of 1 must not be slower than in"):
        failed.check()
    assert failed.to_json()["regressed"] is True
    assert "slower</td>" in failed._repr_html_()


def test_what_does_not_run_is_no_pass(report, mini_artifact, monkeypatch):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(cases, "noise", too_much)
    found = resnas.gate(scaled(report, 1000), runs=4, openings=2)
    assert [item.batch for item in found.missing] == [1]
    with pytest.raises(BadInput, match="everything in the baseline must run here"):
        found.check()


@pytest.mark.parametrize(
    ("function", "command"),
    [
        (resnas.bench, bench_command.bench),
        (resnas.compare, compare_command.compare),
        (resnas.gate, gate_command.gate),
    ],
)
def test_the_defaults_are_the_commands(function, command):
    """But for what is text there and numbers here, and what a command alone has."""
    ours = {name: item.default for name, item in inspect.signature(function).parameters.items()}
    theirs = {name: item.default for name, item in inspect.signature(command).parameters.items()}
    shared = (set(ours) & set(theirs)) - {"artifacts", "streams", "baseline"}
    assert {"runs", "openings", "device", "cuda_graph"} <= shared
    assert {name: ours[name] for name in shared - {"first", "second"}} == {
        name: theirs[name] for name in shared - {"first", "second"}
    }
