"""What a provider of a GPU leaves for another is an error that names the nodes.

The sessions are real ones of the CPU build. It has a second provider, Azure's, which takes none of our nodes, as one of
a GPU would without kernels for them; a provider that it lacks is as one whose libraries cannot be loaded. What a GPU's
provider would take is told by a double of `get_provider_graph_assignment_info` (onnxruntime_inference_collection.py,
microsoft/onnxruntime), around the real answer.
"""

from __future__ import annotations

from types import SimpleNamespace

import onnxruntime as ort
import pytest
from support.checks import refusal

from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.devices import CPU_PROVIDER, CUDA_PROVIDER, TENSORRT_PROVIDER
from resnas_deploy.runners.ort import OrtRunner
from resnas_deploy.runners.placement import RECORD, check_placement

OTHER = "AzureExecutionProvider"
needs_other = pytest.mark.skipif(OTHER not in ort.get_available_providers(), reason="this build has one provider alone")
needs_cpu_build = pytest.mark.skipif(CUDA_PROVIDER in ort.get_available_providers(), reason="this build has CUDA")


def opened(network, provider, **options):
    return OrtRunner(network, Options(1, **options), name="ort-cuda", providers=[(provider, {})])


@needs_other
@pytest.mark.filterwarnings("ignore")
def test_nodes_that_are_left_for_the_cpu_are_named(artifact):
    message = refusal(lambda: opened(artifact, OTHER))
    assert f"{artifact.source}: the runner ort-cuda must run every node on {OTHER}, found " in message
    assert f" on {CPU_PROVIDER}: " in message
    assert "stem." in message  # the graph's own names
    assert " more; use another `runner`" in message


@needs_cpu_build
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_was_not_loaded_is_not_here(artifact):
    with pytest.raises(NotAvailable, match="ort-cuda is not available here: ONNX Runtime found no device for CUDA"):
        opened(artifact, CUDA_PROVIDER)


@needs_other
def test_a_damaged_graph_is_said_to_be_one(artifact):
    with pytest.raises(BadInput, match="cannot load the graph"):
        opened(artifact, OTHER, model=b"damaged")


def test_the_cpu_may_have_every_node(artifact):
    with opened(artifact, CPU_PROVIDER) as runner:
        assert runner.computes == artifact.precision


class On:
    """A real session, told to have nodes on other providers."""

    def __init__(self, session, **where):
        self._session, self._where = session, where

    def get_providers(self):
        return [TENSORRT_PROVIDER, CUDA_PROVIDER, CPU_PROVIDER]

    def get_provider_graph_assignment_info(self):
        parts = self._session.get_provider_graph_assignment_info()
        return [
            SimpleNamespace(
                ep_name=self._where.get(part.get_nodes()[0].op_type, TENSORRT_PROVIDER), get_nodes=part.get_nodes
            )
            for part in parts
        ]


@pytest.fixture
def session(artifact):
    settings = ort.SessionOptions()
    settings.add_session_config_entry(RECORD, "1")
    return ort.InferenceSession(artifact.graph, settings, providers=[CPU_PROVIDER])


def test_a_graph_that_tensorrt_takes_whole(session, artifact):
    check_placement(On(session), "ort-tensorrt", TENSORRT_PROVIDER, artifact)


def test_what_tensorrt_leaves_for_cuda_is_an_error_too(session, artifact):
    message = refusal(
        lambda: check_placement(On(session, Conv=CUDA_PROVIDER), "ort-tensorrt", TENSORRT_PROVIDER, artifact)
    )
    assert f"must run every node on {TENSORRT_PROVIDER}, found " in message
    assert f" on {CUDA_PROVIDER}: stem" in message
    assert "(Conv)" in message


def test_no_more_names_than_a_line_holds(session, artifact):
    everything = dict.fromkeys(("MatMul", "Add", "Conv", "Gemm"), CUDA_PROVIDER)
    message = refusal(lambda: check_placement(On(session, **everything), "ort-tensorrt", TENSORRT_PROVIDER, artifact))
    assert message.count(" (") == 3
    assert "\n" not in message
