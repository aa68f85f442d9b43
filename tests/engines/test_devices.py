"""An engine is built for the GPU that was named, and by a process that sees no other one."""

from __future__ import annotations

import json
import os

import pytest
from support.checks import refusal

from resnas_deploy.engines import build as building
from resnas_deploy.engines.build import _request, build_engine
from resnas_deploy.engines.builder_process import compile_engine
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.progress import silent
from resnas_deploy.runners import devices
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

TENSORRT = TARGETS["tensorrt"]
L4, L40 = "NVIDIA L4", "NVIDIA L40S"


class Asked(Exception):
    """What a builder was asked for."""


@pytest.fixture
def asked(monkeypatch):
    """A function: the identity and the builder's request of an engine that is asked for, on a machine with two GPUs."""
    monkeypatch.setattr(devices, "gpus", lambda: (L4, L40))
    monkeypatch.setattr(building, "gpus", lambda: (L4, L40))
    monkeypatch.setattr(type(TENSORRT), "builder", lambda _target: "tensorrt 11.4.0.106")
    identities = []

    def identity(*arguments):
        identities.append(dict(original(*arguments)))
        return identities[-1]

    def stopped(artifact, target, options, *_rest):
        raise Asked(_request(artifact, target, options))

    original = building.engine_identity
    monkeypatch.setattr(building, "engine_identity", identity)
    monkeypatch.setattr(building, "_compile", stopped)

    def of(call):
        with pytest.raises(Asked) as caught:
            call()
        return identities[-1], caught.value.args[0]

    return of


def test_the_gpu_that_was_named(asked, artifact):
    for device, number, name in (("", 0, L4), ("cuda", 0, L4), ("cuda:0", 0, L4), ("cuda:1", 1, L40)):
        options = BuildOptions(device=device)
        identity, request = asked(lambda options=options: build_engine(artifact, TENSORRT, options, silent))
        assert (identity["device"], request["gpu"]) == (name, number)


def test_a_runner_builds_for_its_own(asked, artifact, monkeypatch):
    """And so never takes an engine of another GPU's name: the name is part of the identity."""
    kind = RUNNERS["tensorrt"]
    monkeypatch.setattr(type(kind), "problem", lambda *_: None)
    for device, number, name in (("", 0, L4), ("cuda:1", 1, L40)):
        options = Options(1, device=device)
        identity, request = asked(lambda options=options: open_runner(kind, artifact, options))
        assert (identity["device"], request["gpu"]) == (name, number)
    identity, request = asked(lambda: open_runner(kind.on("cuda:1"), artifact, Options(1)))
    assert (identity["device"], request["gpu"]) == (L40, 1)


def test_devices_that_are_refused(asked, artifact):
    del asked

    def build(target, device):
        return lambda: build_engine(artifact, TARGETS[target], BuildOptions(device=device), silent)

    message = refusal(build("tensorrt", "cuda:2"), NotAvailable)
    assert f"there is no cuda:2 here, found 2 GPUs: cuda:0 {L4}, cuda:1 {L40}" in message
    assert "must be cuda:N, found 'cpu'" in refusal(build("tensorrt", "cpu"))
    assert "builds for no GPU that is here; leave `device` out" in refusal(build("tensorrt-rtx", "cuda:1"))


@pytest.mark.parametrize(
    ("gpu", "before", "seen"),
    [
        (None, None, None),
        (None, "1,0", "1,0"),
        (0, None, "0"),
        (1, None, "1"),
        (1, "3, 2", "2"),
        (0, "GPU-8a2f,GPU-13cd", "GPU-8a2f"),
    ],
)
def test_what_the_builder_sees(little, tmp_path, monkeypatch, gpu, before, seen):
    """A module that refuses with what it sees of the environment."""
    (tmp_path / "seeing.py").write_text("import json, os\nraise ValueError(json.dumps(dict(os.environ)))\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH")))))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if before is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", before)
    request = {"module": "seeing", "model": str(little.graph), "gpu": gpu}
    with pytest.raises(BadInput):
        compile_engine(request, tmp_path / "out", tmp_path / "log", silent)
    said = (tmp_path / "log").read_text().partition("ERROR ")[2].partition("\n")[0]
    assert json.loads(said).get("CUDA_VISIBLE_DEVICES") == seen
