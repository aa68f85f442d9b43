"""AOTInductor packages: kept under their identity, right, and loaded by PyTorch alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.build import build_engine, check_buildable
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.store import open_engine
from resnas_deploy.engines.targets import target_named
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

pytestmark = pytest.mark.slow  # a compiler of C++ runs for 20 seconds

TARGET = target_named("aoti")
ARCH = ArchSpec(
    (Stage(8, (Block(1, 8, 16),)), Stage(12, (Block(1, 8, 16),)), Stage(16, (Block(2, 8, 16),))),
    classes=5,
    image_size=56,
)
ALONE = """
import sys, numpy, torch
package = torch._inductor.aoti_load_package(sys.argv[1])
images = torch.from_numpy(numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], package(images).numpy())
assert not [name for name in sys.modules if name.startswith("resnas")]
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    out = tmp_path_factory.mktemp("aoti") / "artifact"
    return export(lambda: untrained(ARCH), Request("mini", out, batch=BatchRange(1, 8), verify_on=None), silent)


@pytest.fixture(scope="module")
def built(artifact):
    return build_engine(artifact, TARGET, BuildOptions(), silent)


def test_it_is_kept_with_its_report_and_built_once(artifact, built):
    assert built.engine.path.suffix == ".pt2"
    assert not built.cached
    report = open_engine(built.engine.path).report
    assert report["parity"]["error"] <= tolerance_of("fp32")
    assert report["identity"]["target"] == "aoti"
    assert report["identity"]["device"].startswith("cpu ")
    before = built.engine.path.stat()
    again = build_engine(artifact, TARGET, BuildOptions(), silent)
    assert again.cached
    assert again.engine.path.stat() == before


@pytest.mark.parametrize("count", [1, 3, 8])
def test_pytorch_alone_loads_it(artifact, built, tmp_path, count):
    images = np.random.default_rng(count).standard_normal((count, 3, 56, 56), dtype=np.float32)
    np.save(tmp_path / "images.npy", images)
    paths = [built.engine.path, tmp_path / "images.npy", tmp_path / "logits.npy"]
    done = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", ALONE, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with RUNNERS["ort-cpu"].open(artifact, Options(1)) as runner:
        wanted = runner.run(images)["logits"]
    assert relative_error(np.load(tmp_path / "logits.npy"), wanted) <= 2 * tolerance_of("fp32")


def test_a_package_that_was_cut_short_is_refused_and_built_again(artifact, built, tmp_path):
    copy = tmp_path / built.engine.path.name
    copy.write_bytes(built.engine.path.read_bytes()[:1000])
    copy.with_suffix(".json").write_bytes(built.engine.path.with_suffix(".json").read_bytes())
    with pytest.raises(BadInput, match="cut short or changed"):
        open_engine(copy)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (BuildOptions(profiles=(BatchProfile(1, 2, 4),)), "`profiles`"),
        (BuildOptions(workspace=2**30), "`workspace`"),
        (BuildOptions(version_compatible=True), "`version_compatible`"),
        (BuildOptions(refittable=True), "takes no `refittable`"),
        (BuildOptions(strip_weights=True), "takes no `strip_weights`"),
        (BuildOptions(sparse_weights=True), "takes no `sparse_weights`"),
        (BuildOptions(hardware_compatibility="ampere+"), "takes no `hardware_compatibility`"),
        (BuildOptions(level=0), "takes no `level`"),
        (BuildOptions(capabilities=("89",)), "8.9|89"),
    ],
)
def test_options_of_other_targets_are_refused(options, found):
    with pytest.raises(BadInput, match=found):
        check_buildable(TARGET, "fp32", options)


def test_precisions_that_pytorch_cannot_compile_are_refused():
    with pytest.raises(BadInput, match="must be one of fp32, fp16, bf16, found int8"):
        check_buildable(TARGET, "int8", BuildOptions())


def test_a_device_for_another_target_is_refused():
    with pytest.raises(BadInput, match="builds for no GPU that is here; leave `device` out"):
        check_buildable(target_named("tensorrt-rtx"), "fp16", BuildOptions(device="cpu"))


def test_without_a_gpu_there_is_none_for_cuda():
    from resnas_deploy.runners.devices import gpus

    if gpus():
        pytest.skip("there is a GPU here")
    with pytest.raises(NotAvailable, match="no NVIDIA GPU"):
        check_buildable(TARGET, "fp32", BuildOptions(device="cuda"))
