"""An engine from its build to its measurement, on GPUs that are documented and not here."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.machinery import ModuleSpec

import numpy as np
import onnx
import pytest
from support.checks import refusal
from support.documented.machines import L4, L40, machine_with
from support.documented.tensorrt_runtime import TENSORRT, plan
from support.made_up_measuring import plan as plan_of

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines import build as building
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.recorded import LayerReport
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.measuring.cases import open_cases
from resnas_deploy.measuring.measurement import DEVICE, HOST
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS


@pytest.fixture
def machine(monkeypatch):
    """A machine with two GPUs, where builders write what the runtime's double loads."""
    import sys

    here = machine_with(monkeypatch, L4, L40)
    sys.modules[TENSORRT].__spec__ = ModuleSpec(TENSORRT, None)
    monkeypatch.setattr(building, "gpus", lambda: here.gpus)
    monkeypatch.setattr(type(TARGETS["tensorrt"]), "builder", lambda _target: f"tensorrt {here.version}")

    def compiled(artifact, _target, options, out, *_rest):
        gpu = here.gpus[int(options.device.partition(":")[2] or 0)]
        profiles = [(profile.least, profile.usual, profile.most) for profile in options.profiles]
        out.write_bytes(plan(onnx.load(artifact.graph).SerializeToString(), profiles, gpu=gpu))
        return LayerReport(1, {}, {}, (), ())

    monkeypatch.setattr(building, "_compile", compiled)
    return here


@pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])
def test_what_a_bench_times(machine, artifact_copy, graph):
    """Batch sizes and streams, host to host and on the device: an engine is there once for all that is open."""
    artifact = open_artifact(artifact_copy)
    wanted = plan_of(artifact, RUNNERS["tensorrt"], batches=(1, 3), streams=(1, 2), device="cuda:1", cuda_graph=graph)
    found = set()
    with ExitStack() as stack:
        for ready in open_cases(wanted, set(), stack):
            assert ready.step is not None
            ready.step()
            ready.step()
            assert ready.configuration.device == f"cuda:1 {L40}"
            found.add((ready.case.streams, ready.case.batch, ready.case.latency))
        assert len(machine.cuda.streams) == 3
        assert len(machine.cuda.graphs) == (6 if graph else 0)
        assert machine.loaded == 1
    del ready  # whose logits are in pinned memory
    assert found == {(streams, batch, HOST) for streams in (1, 2) for batch in (1, 3)} | {
        (1, batch, DEVICE) for batch in (1, 3)
    }
    assert machine.cuda.left() == 0


def test_each_gpu_has_its_engine(machine, artifact_copy):
    artifact = open_artifact(artifact_copy)
    images = np.zeros((1, 3, artifact.image_size, artifact.image_size), np.float32)
    for device, name in (("cuda:0", L4), ("cuda:1", L40), ("cuda:0", L4)):
        with open_runner(RUNNERS["tensorrt"], artifact, Options(1, device=device)) as runner:
            assert runner.device == f"{device} {name}"
            runner.run(images)
    assert len(list((artifact_copy / "engines").glob("*.engine"))) == 2


def test_an_engine_of_several_profiles(machine, artifact_copy):
    """As `resnas build --profile 1 --profile 4:6:8` makes it."""
    artifact = open_artifact(artifact_copy)
    options = BuildOptions(profiles=(BatchProfile.parse("1"), BatchProfile.parse("4:6:8")))
    built = build_engine(artifact, TARGETS["tensorrt"], options, silent)
    images = np.random.default_rng(0).standard_normal((8, 3, *[artifact.image_size] * 2), np.float32)
    with open_runner(RUNNERS["tensorrt"], artifact, Options(1, engine=built.engine)) as runner:
        for batch in (1, 4, 8):
            assert np.isfinite(runner.run(images[:batch])["logits"]).all()
        assert "one of its profiles 1:1:1, 4:6:8, found 3" in refusal(lambda: runner.run(images[:3]))
