"""Real engines of a little network."""

from __future__ import annotations

import shutil

import pytest
from support.little_engine import RTX, built, exported

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.build import _request
from resnas_deploy.engines.builder_process import compile_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.progress import silent


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
