"""Whether an engine may round float32 to TF32: what the builder is told, and what the engine is called for it."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from support.checks import refusal
from support.little_engine import exported, needs_builder

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.build import build_engine, check_tf32
from resnas_deploy.engines.options import BuildOptions, engine_id, engine_identity
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.progress import silent
from resnas_deploy.runners.tf32 import OVERRIDE

RTX, TENSORRT, AOTI = (TARGETS[name] for name in ("tensorrt-rtx", "tensorrt", "aoti"))


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """An artifact in fp32. No test may change it."""
    return exported(tmp_path_factory.mktemp("exact") / "little", precision="fp32")


def identity(artifact, target, **options):
    return engine_identity(artifact, target, "builder 1", "", BuildOptions(**options).for_artifact(artifact.batch))


@pytest.mark.parametrize("target", [RTX, TENSORRT], ids=lambda target: target.name)
def test_it_is_in_the_id_of_an_engine_with_float32(exact, target):
    plain, rounded = identity(exact, target), identity(exact, target, tf32=True)
    assert (plain["tf32"], rounded["tf32"]) == (False, True)
    before = {name: value for name, value in plain.items() if name != "tf32"}  # when it was on and not said
    assert len({engine_id(made_of) for made_of in (plain, rounded, before)}) == 3


def test_no_other_id_changes(exact, little):
    for target in (RTX, TENSORRT):
        assert "tf32" not in identity(little, target)  # in fp16
    assert "tf32" not in identity(exact, AOTI)  # a CPU has none
    assert identity(exact, AOTI, device="cuda:0")["tf32"] is False


def test_what_it_cannot_round_is_refused(exact, monkeypatch):
    asked = BuildOptions(tf32=True)
    assert "nothing of fp16 is; leave `tf32` out" in refusal(lambda: check_tf32(RTX, "fp16", "fp16", asked))
    assert "nothing of int8 is" in refusal(lambda: check_tf32(RTX, "int8", "fp16", asked))
    check_tf32(RTX, "int8", "fp32", asked)
    assert "on the CPU" in refusal(lambda: build_engine(exact, AOTI, asked, silent))
    monkeypatch.setenv(OVERRIDE, "0")
    assert f"must come without {OVERRIDE}=0" in refusal(lambda: build_engine(exact, RTX, asked, silent))
    monkeypatch.setenv(OVERRIDE, "1")
    assert "must be unset or 0" in refusal(lambda: build_engine(exact, RTX, BuildOptions(), silent))


@pytest.mark.slow
@needs_builder
def test_the_real_builder_makes_another_engine(exact, tmp_path):
    """TensorRT for RTX has it on of itself, as TensorRT has: what was built before is the engine that has it."""
    digests, folder = [], shutil.copytree(exact.folder, tmp_path / "copy")
    for tf32 in (False, True):
        built = build_engine(open_artifact(folder), RTX, BuildOptions(tf32=tf32, capabilities=("89",)), silent)
        digests.append(hashlib.sha256(built.engine.path.read_bytes()).hexdigest())
        assert built.engine.made_of["tf32"] is tf32
        assert not built.cached
    assert digests[0] != digests[1]
