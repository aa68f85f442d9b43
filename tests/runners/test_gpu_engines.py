"""What needs an NVIDIA GPU and a runtime of engines: profiles, streams, memory without PyTorch, the cache of RTX."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.engines.options import BatchProfile, BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.progress import silent
from resnas_deploy.runners import devices
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import gpus, has_cuda_python
from resnas_deploy.runners.registry import RUNNERS

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")]
NAMES = [name for name, kind in RUNNERS.items() if kind.engine]
captured = pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])
each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def opened(artifact_copy):
    """A function: a runner of an engine of these profiles; the test is skipped where what it needs is missing."""

    def make(name, *profiles, graph=False):
        kind, artifact = RUNNERS[name], open_artifact(artifact_copy)
        options = Options(threads=1, device="cuda:0", cuda_graph=graph)
        try:
            kind.check_opening(artifact, options)
            target = TARGETS[kind.engine]
            wanted = BuildOptions(tuple(map(BatchProfile.parse, profiles)), device="cuda:0" if target.needs_gpu else "")
            built = build_engine(artifact, target, wanted, silent)
            return open_runner(kind, artifact, replace(options, engine=built.engine))
        except NotAvailable as error:
            pytest.skip(str(error))

    return make


@each
@captured
def test_several_profiles(opened, images, expected, near, name, graph):
    with opened(name, "1", "4:6:8", graph=graph) as runner:
        for batch in (1, 4, 8, 1):
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)
        with pytest.raises(BadInput, match="one of its profiles 1:1:1, 4:6:8, found 3"):
            runner.run(images[:3])


@each
@captured
def test_two_streams(opened, images, expected, near, name, graph):
    """Replayed in turn: each graph has the memory of its own activations."""
    with opened(name, graph=graph) as one, opened(name, graph=graph) as other:
        steps = [one.step(images[:8]), other.step(images[:8][::-1].copy()), one.step(images[:2])]
        for _ in range(3):
            for step, wanted in zip(steps, (expected, expected[::-1], expected[:2]), strict=True):
                near(np.asarray(step()), wanted, 1e-5)


@each
@captured
@pytest.mark.skipif(not has_cuda_python(), reason="cuda-python is not installed")
def test_without_pytorch(opened, images, expected, near, monkeypatch, name, graph):
    monkeypatch.setattr(devices, "torch_has_cuda", lambda: False)
    with opened(name, graph=graph) as runner:
        for batch in (1, 8):
            near(runner.run(images[:batch])[OUTPUT], expected[:batch], 1e-5)
            assert 0 < runner.device_step(images[:batch])() < 10


def test_what_rtx_compiled_is_kept(opened, images, artifact_copy, caplog):
    with opened("tensorrt-rtx") as runner:
        runner.run(images[:2])
    (cache,) = (artifact_copy / "engines").glob("*.cache")
    kept = cache.read_bytes()
    with opened("tensorrt-rtx") as runner:
        runner.run(images[:2])
    assert not caplog.text
    cache.write_bytes(b"damaged")
    with opened("tensorrt-rtx") as runner:
        runner.run(images[:2])
    assert "is damaged, or of another GPU" in caplog.text
    assert len(cache.read_bytes()) > len(kept) // 2
