"""A new version comes in and the old one goes, and no client notices."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.networks import mini
from support.rolling_update import roll
from support.small_export import request
from support.triton_server import needs_server, started_server

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.exporting.export import export
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.weights.checkpoint import untrained

pytestmark = needs_server


@pytest.fixture
def newer(tmp_path):
    """The network `mini` with other weights."""
    made = replace(request(tmp_path), out=tmp_path / "newer", verify_on=None)
    return export(lambda: untrained(mini().arch, seed=1), made, lambda _: None).folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clients", "seconds"), [(16, 3), pytest.param(64, 60, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_request_fails_and_no_answer_is_wrong(mini_artifact, newer, tmp_path, clients, seconds):
    models = tmp_path / "models"
    add_model(models, open_artifact(mini_artifact), ModelSettings("mini"))
    with started_server(models, "--poll", "1") as running:
        found = roll(running, models, "mini", mini_artifact, newer, clients, seconds)
    assert found.failed == []
    assert found.wrong == 0
    assert found.answers["1"] > 0
    assert found.answers["2"] > 0
    assert found.versions == ["2"]  # the old one is unloaded
    assert found.unloaded_after > 0  # and then it answers nobody
