"""A comparison measured: in parts, kept, gone on with, and refused where the folder is something else's."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from support.checks import refusal
from support.little_peers import LITTLE
from support.places import ROOT

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.files.outputs import claiming
from resnas_deploy.measuring.tradeoff.contenders import contenders
from resnas_deploy.measuring.tradeoff.measuring import DOCUMENT, GRAPHS, measure_tradeoff
from resnas_deploy.measuring.tradeoff.result import Asked, read_tradeoff
from resnas_deploy.progress import silent

PIT = {"pit-tiny": LITTLE["pit-tiny"]}
KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from support.little_peers import LITTLE
from support.small_reference import make_small
make_small()
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.tradeoff.measuring import measure_tradeoff
from resnas_deploy.measuring.tradeoff.contenders import contenders
from resnas_deploy.measuring.tradeoff.result import Asked
artifact = open_artifact(sys.argv[2])
specs = {"pit-tiny": LITTLE["pit-tiny"]}
asked = Asked(contenders(["pit-tiny"], [artifact], {}, specs), ("ort-cpu",), ("fp32",), (1, 2), 4, 2, 1, "")
def told(text):
    if text.startswith("part 2 of 2") and "round 2" in text:
        os.kill(os.getpid(), signal.SIGKILL)
measure_tradeoff(asked, {"mini": artifact}, Path(sys.argv[1]), told, lambda found: None, specs)
"""


@pytest.fixture
def quick(small_reference, cache_home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))


def asked_for(artifact, **changes):
    usual = {
        "contenders": contenders(["pit-tiny"], [artifact], {}, PIT),
        "runners": ("ort-cpu",),
        "precisions": ("fp32",),
        "batches": (1, 2),
        "runs": 4,
        "openings": 2,
        "threads": 1,
        "device": "",
    }
    return Asked(**usual | changes)


def measured(artifact, out, progress=silent, finish=lambda found: None, **changes):
    return measure_tradeoff(asked_for(artifact, **changes), {"mini": artifact}, out, progress, finish, PIT)


@pytest.fixture(scope="module")
def kept_graphs(tmp_path_factory):
    """A folder that has the little network's graphs from the first test that made them."""
    return tmp_path_factory.mktemp("graphs")


@pytest.fixture
def out(tmp_path, kept_graphs):
    """A new folder, which shares the graphs of the others."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / GRAPHS).symlink_to(kept_graphs)
    return folder


@pytest.mark.usefixtures("quick")
def test_everything_is_measured_in_parts_and_a_second_run_measures_nothing(mini_artifact, out):
    artifact, told, finished = open_artifact(mini_artifact), [], []
    found = measured(artifact, out, told.append, finished.append, precisions=("fp32", "int8"))
    assert finished == [found]
    assert read_tradeoff(out / DOCUMENT) == found
    assert [(group.precision, group.networks) for group in found.groups] == [
        ("fp32", ("pit-tiny", "mini")),
        ("int8", ("pit-tiny",)),
    ]
    assert {path.name for path in (out / GRAPHS).iterdir() if path.suffix == ".onnx"} == {
        "pit-tiny-fp32.onnx",
        "pit-tiny-int8.onnx",
        "pit-tiny-int8-ort-cpu.onnx",  # as an export for that runner is written
    }
    for group in found.groups:
        assert [len(opening) for opening in group.reference.samples_s] == [2, 2]
        assert len(group.conditions) == 2
        for item in group.measurements:
            assert [len(opening) for opening in item.samples_s] == [2, 2]
            assert item.configuration.threads == 1
    assert [(point.network, point.precision, point.batch) for point in found.points] == [
        ("pit-tiny", "fp32", 1),
        ("pit-tiny", "fp32", 2),
        ("mini", "fp32", 1),
        ("mini", "fp32", 2),
        ("pit-tiny", "int8", 1),
        ("pit-tiny", "int8", 2),
    ]
    for point in found.points:
        group = found.groups[("fp32", "int8").index(point.precision)]
        (item,) = (
            item
            for item in group.measurements
            if (found.contender(point.network).source, point.batch)
            == (item.configuration.source, item.configuration.batch)
        )
        pairs = zip(item.samples_s, group.reference.samples_s, strict=True)
        ratio = np.exp(np.median([np.median(np.log(np.divide(*pair))) for pair in pairs]))
        assert point.ms == pytest.approx(1e3 * ratio * found.pace_s)
    assert any(text.startswith("part 4 of 4, about ") for text in told)
    assert any("GB of memory at once" in text for text in told)
    assert any(text.startswith("tracing pit-tiny fp32 64") for text in told)
    again = []
    assert measured(artifact, out, again.append, precisions=("fp32", "int8")) == found
    assert not [text for text in again if text.startswith(("part", "tracing", "making"))]


@pytest.mark.usefixtures("quick")
def test_ctrl_c_keeps_the_parts_that_are_done_and_the_same_call_goes_on(mini_artifact, out):
    artifact, finished = open_artifact(mini_artifact), []

    def interrupt(text):
        if text.startswith("part 2 of 2") and "round 2" in text:
            raise KeyboardInterrupt

    found = measured(artifact, out, interrupt, finished.append)
    assert found.interrupted
    assert finished == [found]  # the page is of what there is
    assert [group.openings for group in found.groups] == [1]
    assert any(note.startswith("interrupted") for note in found.notes())
    whole = measured(artifact, out)
    assert not whole.interrupted
    assert [group.openings for group in whole.groups] == [2]
    for one, other in zip(found.groups[0].measurements, whole.groups[0].measurements, strict=True):
        assert other.samples_s[:1] == one.samples_s
    assert read_tradeoff(out / DOCUMENT) == whole


@pytest.mark.usefixtures("quick")
def test_a_killed_run_leaves_no_half_written_file_and_is_gone_on_with(mini_artifact, out):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(mini_artifact), str(ROOT / "tests")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {DOCUMENT, GRAPHS}
    before = read_tradeoff(out / DOCUMENT)
    assert [group.openings for group in before.groups] == [1]
    whole = measured(open_artifact(mini_artifact), out)
    assert whole.groups[0].reference.samples_s[:1] == before.groups[0].reference.samples_s
    assert [group.openings for group in whole.groups] == [2]
    assert {path.name for path in out.iterdir()} == {DOCUMENT, GRAPHS}


@pytest.mark.slow  # the network is traced three times
@pytest.mark.usefixtures("quick")
def test_a_graph_that_is_not_whole_or_of_something_else_is_made_anew(mini_artifact, out, kept_graphs):
    artifact = open_artifact(mini_artifact)
    first = measured(artifact, out, openings=1, runs=1)
    path = kept_graphs / "pit-tiny-fp32.onnx"
    for damage in (
        lambda: path.write_bytes(path.read_bytes()[:1000]),
        lambda: path.with_suffix(".json").write_text("{"),
        lambda: path.with_suffix(".json").write_text(json.dumps({"made_of": {}, "sha256": "0" * 64})),
    ):
        damage()
        told = []
        (out / DOCUMENT).unlink()
        again = measured(artifact, out, told.append, openings=1, runs=1)
        assert [text for text in told if text.startswith("making")] == ["making pit-tiny-fp32.onnx"]
        digests = [{item.configuration.digest for item in one.groups[0].measurements} for one in (first, again)]
        assert digests[0] == digests[1]


@pytest.mark.usefixtures("quick")
def test_a_folder_of_something_else_or_in_use(mini_artifact, out, tmp_path):
    artifact = open_artifact(mini_artifact)
    measured(artifact, out, openings=1, runs=1)
    content = (out / DOCUMENT).read_bytes()
    told = refusal(lambda: measured(artifact, out, openings=1, runs=2))
    assert "of something else than what is asked for (`runs` 1 there, 2 here); choose another `out`" in told
    found = read_tradeoff(out / DOCUMENT)
    replace(found, machine=replace(found.machine, cpu="another")).write(out / DOCUMENT)
    told = refusal(lambda: measured(artifact, out, openings=1, runs=1))
    assert "has a comparison of another machine (cpu: another there, " in told
    (out / DOCUMENT).write_bytes(content[:500])
    told = refusal(lambda: measured(artifact, out, openings=1, runs=1))
    assert told.endswith("; choose another `out`, or remove all but graphs in it")
    (out / DOCUMENT).write_bytes(content)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    assert "found notes.txt in it" in refusal(lambda: measured(artifact, foreign))
    with claiming(out, resume=True, remedy=""):
        assert "one run at a time" in refusal(lambda: measured(artifact, out, openings=1, runs=1))
    assert (out / DOCUMENT).read_bytes() == content


@pytest.mark.usefixtures("quick")
def test_figures_of_another_version_are_not_mixed(mini_artifact, out):
    artifact = open_artifact(mini_artifact)

    def interrupt(text):
        if text.startswith("part 2 of 2"):
            raise KeyboardInterrupt

    found = measured(artifact, out, interrupt)
    first, *others = found.groups[0].measurements
    other = replace(first, configuration=replace(first.configuration, version="onnxruntime 0.1"))
    replace(found, groups=(replace(found.groups[0], measurements=(other, *others)),)).write(out / DOCUMENT)
    assert "was not set up as it is now" in refusal(lambda: measured(artifact, out))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"runners": ("tpu",)}, "`runners` must be one of ort-cpu"),
        ({"precisions": ("bf16",)}, "must have kernels for bf16"),
        ({"batches": (1, 5000)}, "`batches` must be from 1 to 4096, found 5000"),
        ({"batches": (0,)}, "`batches` must be from 1 to 4096, found 0"),
        ({"batches": (1, 9)}, "the batch must lie in the graph's range 1:8, found 9"),
        ({"runs": 1}, "`runs` must be at least as many as `openings`, 2, found 1"),
        ({"openings": 0}, "`openings` must be at least 1"),
    ],
)
def test_what_cannot_be_measured_is_told_before_any_work(mini_artifact, tmp_path, changes, told):
    assert told in refusal(lambda: measured(open_artifact(mini_artifact), tmp_path / "new", **changes))
    assert not (tmp_path / "new").exists()


def test_an_artifact_for_one_runner_needs_that_runner(mini_artifact, tmp_path):
    artifact = open_artifact(mini_artifact)
    other = replace(artifact, manifest=replace(artifact.manifest, for_runner="openvino"))
    told = refusal(lambda: measured(other, tmp_path / "new"))
    assert "must be run by openvino, which its graph is written for" in told
