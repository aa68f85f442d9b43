"""A package of AOTInductor is run as it was built, by every command that runs something. All of it real."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from support.checks import refusal
from support.places import EXAMPLE

import resnas_deploy as resnas
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import target_named
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.measuring.baseline import plan_again
from resnas_deploy.measuring.plan import Effort
from resnas_deploy.progress import silent
from resnas_deploy.runners import torch_compiled
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import compiled_torch_problem
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

pytestmark = [
    pytest.mark.slow,  # a compiler of C++ runs for 20 seconds
    pytest.mark.skipif(compiled_torch_problem("cpu") is not None, reason="no C++ compiler is here"),
]
ARCH = ArchSpec(
    (Stage(8, (Block(1, 8, 16),)), Stage(12, (Block(1, 8, 16),)), Stage(16, (Block(2, 8, 16),))),
    classes=5,
    image_size=56,
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    out = tmp_path_factory.mktemp("package") / "artifact"
    return export(lambda: untrained(ARCH), Request("mini", out, batch=BatchRange(1, 8), verify_on=None), silent)


@pytest.fixture(scope="module")
def package(artifact):
    """Built with one thread, as another process or machine may have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return build_engine(artifact, target_named("aoti"), BuildOptions(), silent).engine
    finally:
        torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def nothing_is_compiled(package, monkeypatch):
    monkeypatch.setattr(torch_compiled, "write_package", lambda *_: pytest.fail("it was compiled again"))


def test_the_runner_loads_it(artifact, package):
    images = np.random.default_rng(0).standard_normal((3, 3, 56, 56), dtype=np.float32)
    for options in (Options(1), Options(1, engine=package)):
        with open_runner(RUNNERS["aoti"], artifact, options) as runner:
            found = runner.run(images)["logits"]
            assert "range 1:8, found 9" in refusal(lambda: runner.run(np.resize(images, (9, 3, 56, 56))))
    with RUNNERS["torch"].open(artifact, Options(1)) as runner:
        np.testing.assert_allclose(found, runner.run(images)["logits"], atol=1e-5)
    assert [path.name for path in (artifact.folder / "engines").glob("*.pt2")] == [package.path.name]


def test_its_loops_take_the_threads_of_whoever_runs_it(package):
    with zipfile.ZipFile(package.path) as archive:
        sources = [archive.read(name).decode() for name in archive.namelist() if name.endswith(".kernel.cpp")]
    assert sources
    assert any("#pragma omp parallel\n" in source for source in sources)
    assert not any("omp parallel num_threads" in source for source in sources)
    assert package.made_of["threads"] == "any"


@pytest.mark.parametrize("how", ["file", "id", "runner"])
def test_it_is_measured(artifact, package, how):
    source, options = artifact.folder, {"runners": ["aoti"]}
    if how == "file":
        source, options = package.path, {}
    elif how == "id":
        options = {"engine": package.path.stem[:6]}
    report = resnas.bench(source, **options, batches=[1, 3], runs=2, openings=2, threads=1)
    for item in report.measurements:
        c = item.configuration
        assert (c.runner, c.engine, c.profile, c.source) == ("aoti", package.path.stem, "", str(artifact.folder))
    assert f"aoti {package.path.stem[:8]}" in str(report.table())


def test_a_gate_measures_the_same_one_again(artifact, package, tmp_path):
    report = resnas.bench(package.path, batches=[1], runs=4, openings=2, threads=1)
    report.save(tmp_path / "baseline.json")
    found = resnas.gate(tmp_path / "baseline.json", runs=4, openings=2)
    assert [change.configuration.engine for change in found.changes] == [package.path.stem]
    (wanted,) = (item.configuration for item in report.measurements)
    plan = plan_again([wanted], {wanted.label: (artifact, None)}, Effort(4, 2))
    assert [subject.engine for subject in plan.subjects] == [package]


def test_it_is_compared(artifact, package):
    found = resnas.compare(package.path, artifact.folder, runners=["aoti", "torch"], runs=4, openings=2, threads=1)
    engines = [item.configuration.engine for item in found.measured.measurements]
    assert engines == [package.path.stem, ""]


def test_it_is_verified_and_predicts(artifact, package):
    found = resnas.verify(package.path, threads=1)
    assert f"engine {package.path.stem[:8]}" in found.verification.runner
    assert found.verification.error <= found.verification.tolerance
    assert "runs the weights" in refusal(lambda: resnas.verify(artifact, runner="aoti"))
    predicted = resnas.predict(package.path, EXAMPLE / "pictures" / "bag.png", threads=1)
    assert predicted.runner == "aoti"
    assert len(predicted.images[0].top) == 5


def test_it_is_listed_with_what_it_is_and_that_it_runs(artifact, package):
    found = resnas.inspect(artifact.folder)
    (held,) = found.engines
    assert (held.listed.path, held.problem) == (package.path, "")
    assert str(found.engines_table()).count("yes") == 1
    assert resnas.inspect(package.path).problem == ""


def test_a_package_that_pytorch_cannot_load_is_one_line(artifact, package, monkeypatch):
    monkeypatch.setattr(
        torch._inductor, "aoti_load_package", lambda *_, **__: torch._C._aoti.AOTIModelPackageLoader("/")
    )
    line = refusal(lambda: open_runner(RUNNERS["aoti"], artifact, Options(1, engine=package)))
    assert line.startswith(f"{package.path}: PyTorch {torch.__version__} cannot load the package: ")
    assert len(line.splitlines()) == 1
