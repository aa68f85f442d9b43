"""Real engines of a little network."""

from __future__ import annotations

import os
import shutil

import pytest
from support.little_engine import RTX, TENSORRT, built, exported
from support.places import SUPPORT

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines import build as building
from resnas_deploy.engines.build import _request, build_engine
from resnas_deploy.engines.builder_process import compile_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.progress import silent
from resnas_deploy.runners import devices

L4 = "NVIDIA L4"
DOCUMENTED = SUPPORT / "documented"


@pytest.fixture(scope="session")
def little(tmp_path_factory):
    """An artifact without engines. No test may change it."""
    return exported(tmp_path_factory.mktemp("little") / "little")


@pytest.fixture
def artifact(little, tmp_path):
    """A copy of it."""
    return open_artifact(shutil.copytree(little.folder, tmp_path / "little"))


@pytest.fixture(scope="session")
def with_engine(tmp_path_factory):
    """An artifact with one engine. No test may change it."""
    made = exported(tmp_path_factory.mktemp("engine") / "little")
    built(made)
    return made


@pytest.fixture
def engine(with_engine, tmp_path):
    """The path of an engine in a copy of it."""
    folder = shutil.copytree(with_engine.folder, tmp_path / "little")
    (path,) = (folder / "engines").glob("*.engine")
    return path


@pytest.fixture(scope="session")
def with_ir(tmp_path_factory):
    """An artifact in fp32 with IR of its whole range, of which nothing compiled is kept. No test may change it."""
    made = exported(tmp_path_factory.mktemp("ir") / "little", precision="fp32", for_engine=False)
    build_engine(made, TARGETS["openvino"], BuildOptions(), silent)
    return made


@pytest.fixture(scope="session")
def log_of(tmp_path_factory):
    """A function: the builder's log of an artifact."""

    def build(artifact, **options):
        folder = tmp_path_factory.mktemp("log")
        request = _request(artifact, RTX, BuildOptions(**options).for_artifact(artifact.batch))
        return compile_engine(request, folder / "out", folder / "failed.log", silent)

    return build


@pytest.fixture(scope="session")
def log(log_of, little):
    """The builder's log of `little`."""
    return log_of(little)


@pytest.fixture(params=["10.15.1.29", "11.4.0.106"])
def version(request, monkeypatch):
    """A machine with a GPU and that version of TensorRT, both for this process and for the builder's."""
    monkeypatch.setattr(devices, "gpus", lambda: (L4,))
    monkeypatch.setattr(building, "gpus", lambda: (L4,))
    monkeypatch.setattr(type(TENSORRT), "builder", lambda _target: f"tensorrt {request.param}")
    monkeypatch.setenv("DOCUMENTED_TENSORRT", request.param)
    path = [str(DOCUMENTED), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return request.param
