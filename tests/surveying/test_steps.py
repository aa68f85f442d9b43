"""The steps: which there are, in which order, and what pytest's output says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.surveying.gpu_tests import read
from resnas_deploy.surveying.sizes import GPU, REHEARSAL
from resnas_deploy.surveying.steps import steps_of
from resnas_deploy.surveying.task import Task
from resnas_deploy.surveying.timed import _network

ON_GPU = steps_of(GPU, "cuda:0", Path("/checkout"))


def test_all_runners_networks_precisions_and_batches_are_in_it():
    found = {
        (each["network"], step.runner, each["precision"], batch)
        for step in ON_GPU
        if step.run.endswith("timed:run") and (each := step.parameters) and step.runner != "best"
        for batch in each["batches"]
        if each["cuda_graph"] and not each.get("baseline")
    }
    assert found == {
        *(
            (network, kind.name, precision, batch)
            for network in ("tiny", "small", "medium")
            for kind in RUNNERS.values()
            if "cuda" in kind.devices
            for precision in ("fp32", "fp16", "bf16", "int8", "fp8")
            if precision in kind.precisions
            for batch in (1, 8, 64, 256)
        ),
        *(
            ("deit-base", kind.name, "fp16", batch)
            for kind in RUNNERS.values()
            if "cuda" in kind.devices and not kind.engine
            for batch in (1, 8, 64, 256)
        ),
    }


def test_names_are_files_names_and_each_is_there_once():
    names = [step.name for step in ON_GPU]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)


def test_what_the_aims_need_comes_first_and_with_graphs_in_both():
    names = [step.name for step in ON_GPU]
    first = names[: names.index("reduction-kernel")]
    assert first[0] == "here"
    for batch in (1, 256):
        for plain in ("plain-small", "small"):
            assert f"{plain}-fp16-torch-compile-max-graph-batch{batch}" in first
    assert "deit-base-fp16-torch-compile-max-graph-batch256" in first
    assert "small-fp16-tensorrt-graph" in first
    assert names.index("latency-model") < names.index("small-bf16-torch-graph")
    assert "tests" in names
    assert "tests" not in [step.name for step in steps_of(GPU, "cuda:0")]


def test_a_baseline_is_plain_pytorch_in_max_autotune_without_its_own_graphs():
    (step,) = [step for step in ON_GPU if step.name == "plain-small-fp16-torch-compile-max-graph-batch1"]
    assert step.parameters["baseline"]
    opener = RUNNERS[step.runner].open_network
    assert opener.parameters["mode"] == "max-autotune-no-cudagraphs"


def test_a_rehearsal_has_every_kind_of_step():
    kinds = {step.run for step in ON_GPU}
    rehearsed = steps_of(REHEARSAL, "cpu", Path("/checkout"))
    assert {step.run for step in rehearsed} == kinds
    assert not any(step.parameters.get("cuda_graph") for step in rehearsed)


def test_limits_grow_with_the_time_that_there_is():
    (step,) = [step for step in ON_GPU if step.name == "latency-model"]
    assert (step.limit(1), step.limit(8), step.limit(60)) == (120, 120, 900)


def test_a_peer_is_not_traced_for_a_runner_that_runs_modules(tmp_path):
    """Tracing needs a package that a GPU's machine may not have, and a quarter of a minute."""
    parameters = {"network": "deit-tiny", "precision": "fp32", "peer": True}
    task = Task("x", "cpu", str(tmp_path), 1.0, REHEARSAL, "torch", parameters)
    told = []
    with _network(task, RUNNERS["torch"], told.append) as network:
        assert (len(network.digest), network.arch, network.image_size) == (64, None, 224)
    assert told == []


OUTPUT = """\
.F.s
=================================== FAILURES ===================================
____ test_x ____
tests/a.py:3: in test_x
E   AssertionError: nothing
=========================== short test summary info ============================
FAILED tests/a.py::test_x - AssertionError: nothing
ERROR tests/b.py::test_y - RuntimeError: CUDA
1 failed, 12 passed, 1 skipped, 1 error in 3.21s
"""


def test_what_pytest_says():
    found = read(OUTPUT, 1, False)
    assert found.summary == "1 failed, 12 passed, 1 skipped, 1 error in 3.21s"
    assert (found.passed, found.cut) == (12, False)
    assert found.failed == ("tests/a.py::test_x - AssertionError: nothing", "tests/b.py::test_y - RuntimeError: CUDA")
    assert read("no tests ran in 0.01s\n", 5, False).passed == 0
    assert read("! KeyboardInterrupt !\n3 passed in 9.00s\n", 2, True).cut
    with pytest.raises(BadInput, match=r"pytest must run, found exit code 4: ModuleNotFoundError: .*hypothesis"):
        read("ImportError while loading conftest\nE   x\nModuleNotFoundError: No module named 'hypothesis'\n", 4, False)
