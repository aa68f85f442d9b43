"""Every kind of step for real, on the CPU at tiny sizes: a network, a space and a peer of a few channels."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.checks import check_schema
from support.mini_space import MINI, measured, truth
from support.places import ROOT

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.measuring.latency.profile import PROFILE, subnets
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.progress import silent
from resnas_deploy.surveying.kept import read_survey
from resnas_deploy.surveying.latency_model import STORE
from resnas_deploy.surveying.sizes import REHEARSAL
from resnas_deploy.surveying.steps import steps_of
from resnas_deploy.surveying.survey import Asked, survey
from resnas_deploy.weights.space_files import space_named
from resnas_deploy.weights.space_text import space_text

LITTLE = ArchSpec(
    (Stage(8, (Block(1, 8, 16),)), Stage(12, (Block(2, 4, 16),)), Stage(16, (Block(1, 8, 24),))),
    classes=5,
    image_size=56,
)
COMPILED = ("compile", "aoti", "compiled")  # steps that compile take long


@pytest.fixture
def sizes(tmp_path):
    (tmp_path / "little.json").write_text(json.dumps(LITTLE.to_json()))
    (tmp_path / "mini.toml").write_text(space_text(replace(MINI, image_size=56)))
    return replace(
        REHEARSAL,
        networks=(str(tmp_path / "little.json"),),
        space=str(tmp_path / "mini.toml"),
        profiled=54,
        batches=(1, 2),
        kernel_batches=(2,),
    )


@pytest.fixture
def profiled_before(tmp_path, sizes):
    """What a step that was cut short has kept: the networks of the profile, in the runner that will be the fastest."""
    space = space_named(sizes.space)
    archs = subnets(space, PROFILE, sizes.profiled)
    setting = choose_setup("torch", "fp32", 1, 0, "cpu").setting()
    survey(Asked(tmp_path / "out", 0, "cpu", sizes=sizes, steps=()), silent)  # the folder of a report
    with LatencyStore(tmp_path / "out" / STORE) as store:
        store.add(setting, space, PROFILE, 0, measured(archs, truth(space), space))


def rehearsed(tmp_path, sizes, wanted):
    steps = tuple(step for step in steps_of(sizes, "cpu", ROOT) if wanted(step.name))
    out = tmp_path / "out"
    found = survey(Asked(out, 120, "cpu", sizes=sizes, steps=steps), silent)
    assert {step.name: step.error for step in found.steps if step.status == "failed"} == {}
    check_schema("gpu-report", json.loads((out / "report.json").read_text()))
    assert read_survey(out / "report.json") == found
    assert {aim.verdict for aim in found.aims} == {"not measured"}
    assert "<h1>GPU report: cpu</h1>" in (out / "report.html").read_text()
    return found


@pytest.mark.slow
def test_every_kind_of_step(tmp_path, sizes, profiled_before, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")  # so that nothing is compiled, which the slow test does
    wanted = ("here", "little-fp32-torch", "little-int8-ort-cpu", "reduction-kernel", "roofline")
    wanted += ("training-masked", "latency-model")
    found = rehearsed(tmp_path, sizes, wanted.__contains__)
    outcomes = {step.name: step.found for step in found.steps}
    assert all(outcomes.values()), [(step.name, step.error) for step in found.steps]
    assert {"torch", "ort-cpu"} <= set(outcomes["here"].here.runners)
    for name in ("little-fp32-torch", "little-int8-ort-cpu"):
        timed = outcomes[name].timed
        assert timed.verified.right
        assert {item.configuration.source for item in timed.report.measurements} == {timed.network}
        assert timed.measurement(2).throughput > 0
    first, second = outcomes["reduction-kernel"].reductions
    assert (first.width, first.out_width, first.side, second.side) == (8, 12, 4, 2)
    assert first.error <= first.tolerance
    assert first.compiled_s is None
    assert outcomes["training-masked"].training.images_per_second > 0
    model = outcomes["latency-model"].model
    assert (model.profiled, len(model.measured_ms)) == (54, 2)
    assert [item.predictor for item in model.errors] == ["latency model", "MACs", "parameters", "measured again"]
    (path,) = [path for path in found.paths() if path.runner == "ort-cpu"]
    assert (path.precisions, path.built, path.run, path.verified, path.timed) == (("int8",), False, True, True, True)


@pytest.mark.slow
def test_everything(tmp_path, sizes):
    found = rehearsed(tmp_path, sizes, lambda _: True)
    assert {step.status for step in found.steps} <= {"done", "missing"}
    done = {step.name: step.found for step in found.steps if step.status == "done"}
    assert done["tests"].tests.passed == 0  # there is no GPU: all are skipped, or none
    assert done["training-compiled"].training.way == "compiled"
    assert done["plain-little-fp32-torch-compile-max-batch1"].timed.baseline
