"""IR of OpenVINO: kept under its identity, whole, exact, and run by OpenVINO alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal

import resnas_deploy as resnas
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.finding import Need, named_engine
from resnas_deploy.engines.opening import with_engine
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.store import find, open_engine
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.images.samples import noise
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.openvino_model import MOST_KEPT
from resnas_deploy.runners.registry import RUNNERS

pytest.importorskip("openvino", reason="openvino is missing")

TARGET, KIND = TARGETS["openvino"], RUNNERS["openvino"]
ALONE = """
import sys, numpy, openvino
network = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
numpy.save(sys.argv[3], network({"images": numpy.load(sys.argv[2])})["logits"])
assert not [name for name in sys.modules if name.startswith(("resnas", "onnx"))]
"""


@pytest.fixture
def artifact(with_ir, tmp_path):
    return open_artifact(shutil.copytree(with_ir.folder, tmp_path / "little"))


@pytest.fixture
def engine(artifact):
    (path,) = (artifact.folder / "engines").glob("*.xml")
    return open_engine(path)


def logits(artifact, images, **options):
    with KIND.open(artifact, Options(1, **options)) as runner:
        return runner.run(images)[OUTPUT]


def test_it_is_exact_and_built_once(artifact, engine):
    report = engine.report
    assert report["parity"]["error"] <= report["parity"]["tolerance"] == 1e-5
    weights = engine.path.with_suffix(".bin")
    assert report["weights_bytes"] == weights.stat().st_size > 0.9 * artifact.weights.stat().st_size  # not halved
    assert build_engine(artifact, TARGET, BuildOptions(), silent).cached
    images = noise(3, artifact.image_size)
    assert np.array_equal(logits(artifact, images, engine=engine), logits(artifact, images))
    (held,) = resnas.inspect(artifact).engines
    assert held.problem == ""
    assert held.to_json()["bytes"] == report["engine_bytes"] + report["weights_bytes"]


def test_openvino_alone_serves_it(artifact, engine, tmp_path):
    images = noise(3, artifact.image_size)
    np.save(tmp_path / "images.npy", images)
    paths = [engine.path, tmp_path / "images.npy", tmp_path / "logits.npy"]
    done = subprocess.run([sys.executable, "-I", "-c", ALONE, *paths], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, wanted = np.load(tmp_path / "logits.npy"), logits(artifact, images)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_what_is_not_whole_is_not_read(engine, suffix, how):
    path = engine.path.with_suffix(suffix)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content if how == "changed" else content[:-8])
    assert find(engine.path) is None
    assert path.name in refusal(lambda: open_engine(engine.path))


def test_a_file_that_is_put_in_its_place_later_is_not_read(artifact, engine):
    images = noise(2, artifact.image_size)
    wanted = logits(artifact, images)
    for suffix in (".xml", ".bin"):
        path = engine.path.with_suffix(suffix)
        other = path.with_name("other")
        other.write_bytes(bytes(path.stat().st_size))
        other.rename(path)
    assert np.array_equal(logits(artifact, images, engine=engine), wanted)


def test_what_was_compiled_is_kept_and_a_damaged_one_is_not_used(artifact, engine, caplog):
    images = noise(2, artifact.image_size)
    wanted = logits(artifact, images, engine=engine)
    (kept,) = engine.path.parent.glob("*.blob")
    first = kept.stat()
    assert np.array_equal(logits(artifact, images, engine=engine), wanted)
    assert kept.stat().st_mtime_ns == first.st_mtime_ns  # it was read
    assert not caplog.messages
    whole = kept.read_bytes()
    # One bit of each kind of what a blob holds: OpenVINO itself takes those of the weights, and computes with them.
    for place in (3, 40, len(whole) // 2, len(whole) - 200):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        kept.write_bytes(damaged)
        assert np.array_equal(logits(artifact, images, engine=engine), wanted)
        assert "it was cut short or changed" in caplog.messages[-1]
    for content in (b"", whole[:20], whole[: len(whole) // 2]):
        kept.write_bytes(content)
        assert np.array_equal(logits(artifact, images, engine=engine), wanted)
    caplog.clear()
    assert np.array_equal(logits(artifact, images, engine=engine), wanted)  # the one that replaced it
    assert not caplog.messages
    assert [path.name for path in kept.parent.glob("*.blob")] == [kept.name]


def test_settings_have_compiled_forms_of_their_own_and_few_are_kept(artifact, engine):
    images = noise(1, artifact.image_size)
    for threads in range(1, MOST_KEPT + 3):
        with KIND.open(artifact, Options(threads, engine=engine)) as runner:
            runner.run(images)
    assert len(list(engine.path.parent.glob("*.blob"))) == MOST_KEPT


def test_where_nothing_can_be_kept_it_runs_all_the_same(artifact, engine, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    monkeypatch.setattr(Path, "touch", refuse)
    images = noise(1, artifact.image_size)
    assert np.array_equal(logits(artifact, images, engine=engine), logits(artifact, images))
    assert not list(engine.path.parent.glob("*.blob"))


def test_ir_of_one_batch_size(artifact):
    fixed = build_engine(artifact, TARGET, BuildOptions(profiles=(BatchProfile(2, 2, 2),)), silent).engine
    assert named_engine(artifact, fixed.path.stem[:8]) == fixed
    images = noise(2, artifact.image_size)
    found, wanted = logits(artifact, images, engine=fixed), logits(artifact, images)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    asked = Options(1, engine=fixed)
    line = refusal(lambda: with_engine(KIND, artifact, asked, need=Need((3,))))
    assert "must lie in a profile of it, 2" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 3}, "takes no `level`: IR is compiled where it runs"),
        ({"workspace": 1}, "takes no `workspace`"),
        ({"optimum": 4}, "takes no `optimum`"),
        ({"tf32": True}, "`tf32` must be for a GPU, found the target openvino on the CPU; leave it out"),
        ({"capabilities": ("89",)}, "takes no compute capability"),
        ({"device": "cuda:0"}, "builds for no GPU"),
        ({"profiles": (BatchProfile(1, 1, 1), BatchProfile(2, 2, 2))}, "takes one profile, found 2"),
    ],
)
def test_options_of_other_targets_are_refused(with_ir, options, said):
    assert said in refusal(lambda: build_engine(with_ir, TARGET, BuildOptions(**options), silent))
