"""A runner that loads an engine is handed the artifact's own, built once; nothing is built for one that cannot open."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.checks import refusal
from support.little_engine import RTX, needs_builder

from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import gpus
from resnas_deploy.runners.registry import RUNNERS

pytestmark = needs_builder
OPTIONS = Options(threads=1)
KIND = replace(  # of a machine with a GPU; what it is opened with is all that it tells
    RUNNERS["tensorrt-rtx"], device_problem=lambda _device: None, open_network=lambda network, options: options
)


@dataclass(frozen=True)
class Foreign:
    """A network that is no artifact."""

    source: str = "elsewhere"
    precision: str = "fp16"
    for_runner: str = ""
    model: Path = Path("elsewhere/model.onnx")


def test_the_engine_is_built_once_and_kept(artifact):
    told = []
    first = open_runner(KIND, artifact, OPTIONS, told.append).engine
    assert any(text.startswith("building the engine: ") for text in told)
    assert first.path.parent == artifact.folder / "engines"
    assert first.made_of["target"] == RTX.name
    assert first.file.read_bytes() == first.path.read_bytes()
    told.clear()
    again = open_runner(KIND, artifact, OPTIONS, told.append).engine
    assert again == first
    assert told == []


@pytest.mark.slow
def test_a_build_is_logged_where_nobody_asks_for_progress(artifact, caplog):
    with caplog.at_level(logging.INFO, "resnas_deploy"):
        open_runner(KIND, artifact, OPTIONS)
    assert any("building the engine: " in line for line in caplog.messages)


def test_an_engine_that_is_handed_in_is_taken(artifact, with_engine):
    handed = open_runner(KIND, with_engine, OPTIONS).engine
    assert open_runner(KIND, artifact, replace(OPTIONS, engine=handed)).engine is handed
    assert not (artifact.folder / "engines").exists()


@pytest.mark.skipif(bool(gpus()), reason="an NVIDIA GPU is here")
def test_nothing_is_built_where_the_runner_cannot_open(artifact):
    with pytest.raises(NotAvailable, match="no NVIDIA GPU"):
        open_runner(RUNNERS["tensorrt-rtx"], artifact, OPTIONS)
    assert "on the CPU" in refusal(lambda: open_runner(RUNNERS["torch"], artifact, replace(OPTIONS, cuda_graph=True)))
    for network, options in ((Foreign(), OPTIONS), (artifact, replace(OPTIONS, model=b"another graph"))):
        message = refusal(lambda network=network, options=options: open_runner(KIND, network, options))
        assert f"runs the engines of artifacts, found {network.source}" in message
    assert not (artifact.folder / "engines").exists()


def test_a_runner_never_builds(artifact):
    kind = replace(RUNNERS["tensorrt-rtx"], device_problem=lambda _device: None)
    assert "must be handed an engine" in refusal(lambda: kind.open(artifact, OPTIONS))
    assert not (artifact.folder / "engines").exists()


def test_other_runners_are_opened_as_they_are(artifact):
    with open_runner(RUNNERS["torch"], artifact, OPTIONS) as runner:
        assert runner.name == "torch"
    assert not (artifact.folder / "engines").exists()
