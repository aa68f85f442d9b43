"""ONNX Runtime on a GPU that is documented and not here: memory that is bound by address, on the runner's own stream.

The session is a real one on the CPU. In its place on a GPU it would put its work on the stream that it was told
(`user_compute_stream`) and return, as `disable_synchronize_execution_providers` has it (ONNX Runtime's documentation of
its CUDA provider and of I/O binding, and onnxruntime_run_options_config_keys.h); so does the double around it.
"""

from __future__ import annotations

from types import SimpleNamespace

import onnx
import pytest
from support.documented.machines import L4, L40, machine_with

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.runners import devices, ort_gpu
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import CPU_PROVIDER, CUDA_PROVIDER
from resnas_deploy.runners.ort import OrtRunner
from resnas_deploy.runners.ort_gpu import OrtGpuRunner


class OnStream:
    """A session whose runs wait on a stream."""

    def __init__(self, session, cuda, options):
        self._session, self._cuda, self._options = session, cuda, options
        self.graphs = set()

    def __getattr__(self, name):
        return getattr(self._session, name)

    def io_binding(self):
        """A binding to the host's memory, which the double's GPU memory is, where CUDA's is meant."""
        bound = self._session.io_binding()

        def bind(method, name, device, number, dtype, shape, address):
            assert (device, str(number)) == ("cuda", self._options["device_id"])
            self._cuda.view(address, shape, dtype)  # which it must hold
            method(name, "cpu", 0, dtype, shape, address)

        return SimpleNamespace(
            real=bound,
            bind_input=lambda *arguments: bind(bound.bind_input, *arguments),
            bind_output=lambda *arguments: bind(bound.bind_output, *arguments),
        )

    def run_with_iobinding(self, bound, settings):
        """Put a run on the stream, if nothing was asked that makes it wait."""
        assert settings.get_run_config_entry("disable_synchronize_execution_providers") == "1"
        if self._options["enable_cuda_graph"] == "True":
            self.graphs.add(settings.get_run_config_entry("gpu_graph_id"))
        stream = int(self._options["user_compute_stream"])
        assert self._cuda.enqueue(stream, lambda: self._session.run_with_iobinding(bound.real))


@pytest.fixture
def on(monkeypatch):
    """A function: what `OrtGpuRunner` finds on a machine with GPUs."""

    def make(*gpus):
        machine = machine_with(monkeypatch, *gpus)
        opened = OrtRunner._open

        def on_stream(self):
            (_, options), *_ = self._providers
            self._providers = [(CPU_PROVIDER, {})]
            return OnStream(opened(self), machine.cuda, options)

        monkeypatch.setattr(OrtRunner, "_open", on_stream)
        monkeypatch.setattr(ort_gpu, "load_libraries", lambda _: None)
        return machine

    return make


def runner(network, **options):
    return OrtGpuRunner(network, Options(1, **options), name="ort-cuda", provider=CUDA_PROVIDER)


@pytest.mark.parametrize("graph", [False, True], ids=["launched", "captured"])
def test_the_logits_of_every_batch_size(on, artifact, images, expected, near, graph):
    here = on(L4, L40)
    with runner(artifact, device="cuda:1", cuda_graph=graph) as opened:
        steps = {batch: opened.step(images[:batch]) for batch in (1, 3, 8)}
        for batch in (1, 3, 8, 1):
            near(steps[batch](), expected[:batch], 1e-5)
            near(opened.run(images[8 - batch :])[OUTPUT], expected[8 - batch :], 1e-5)
            assert opened.device_step(images[:batch])() > 0
        assert opened._session.graphs == ({"1", "3", "8"} if graph else set())
        assert "pinned host memory" in opened.boundary
        assert "CUDA events" in opened.device_boundary
        del steps
    assert here.cuda.left() == 0


def test_probes_are_run_without_buffers(on, artifact, images, near, expected):
    on(L4)
    model = onnx.load(artifact.graph)
    model.graph.output.append(onnx.ValueInfoProto(name=model.graph.node[0].output[0]))
    with runner(artifact, device="cuda:0", model=model.SerializeToString()) as opened:
        found = opened.run(images[:2])
    near(found[OUTPUT], expected[:2], 1e-5)
    assert len(found) == 2


def test_words_where_no_memory_can_be_pinned(on, artifact, monkeypatch):
    on(L4)
    monkeypatch.setattr(devices, "has_cuda_python", lambda: False)
    with runner(artifact, device="cuda:0") as opened:
        assert "pageable host memory" in opened.boundary
        assert "the host's clock" in opened.device_boundary


def test_a_session_that_cannot_be_opened_leaves_nothing(on, artifact):
    here = on(L4)
    with pytest.raises(Exception, match="cannot load"):
        runner(artifact, device="cuda:0", model=b"damaged")
    assert here.cuda.left() == 0
