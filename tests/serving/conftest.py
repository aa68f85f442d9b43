"""One server for the tests that only ask it something."""

from __future__ import annotations

import shutil

import pytest
from support.triton_server import started_server

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import Batching, ModelSettings


@pytest.fixture(scope="session")
def repository(tmp_path_factory, mini_artifact):
    """A repository of the network `mini` with what is around it. No test may change it."""
    folder = tmp_path_factory.mktemp("serving") / "models"
    add_model(
        folder, open_artifact(mini_artifact), ModelSettings("mini", batching=Batching((4, 8), 20_000)), ensemble=True
    )
    return folder


@pytest.fixture(scope="session")
def server(repository):
    """A server of it."""
    with started_server(repository) as running:
        yield running


@pytest.fixture
def models(repository, tmp_path):
    """A copy of `repository` that a test may alter."""
    return shutil.copytree(repository, tmp_path / "models")
