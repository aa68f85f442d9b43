"""A real server of an int8 graph in ONNX Runtime's own operators answers as the runner does."""

from __future__ import annotations

import numpy as np
import pytest
from support.checks import refusal
from support.places import DEMO
from support.small_export import request
from support.triton_server import needs_server, started_server
from tritonclient import grpc

import resnas_deploy as resnas
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.graph import read_graph
from resnas_deploy.exporting.export import export
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import preprocess
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.check import check_repository
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.weights.checkpoint import load

pytestmark = needs_server
PICTURES = sorted((DEMO.parent / "pictures").glob("*.png"))
MODELS = ("clothes", "direct")  # by the Python backend, and by the one of the name onnxruntime


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The trained demo network in int8 for ONNX Runtime's CPU."""
    wanted = request(tmp_path_factory.mktemp("own"), precision="int8", for_runner="ort-cpu", verify_on=None)
    found = export(lambda: load(DEMO), wanted, silent)
    assert {node.op_type for node in read_graph(found).graph.node} > {"MatMulIntegerToFloat"}
    return found


@pytest.fixture(scope="module")
def models(artifact, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving") / "models"
    add_model(folder, artifact, ModelSettings(MODELS[0], max_batch=8), ensemble=True)
    add_model(folder, artifact, ModelSettings(MODELS[1], backend="onnxruntime", max_batch=8))
    return folder


@pytest.fixture(scope="module")
def server(models):
    with started_server(models) as running:
        yield running


@pytest.fixture
def ask(server):
    """What the server answers to an array."""
    client = grpc.InferenceServerClient(server.grpc)

    def answer(model, name, values, kind):
        given = grpc.InferInput(name, list(values.shape), kind)
        given.set_data_from_numpy(values)
        return client.infer(model, [given]).as_numpy(OUTPUT)

    yield answer
    client.close()


def run(artifact, images):
    with RUNNERS["ort-cpu"].open(artifact, Options(1)) as runner:
        return runner.run(images)[OUTPUT]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("count", [1, 3, 8])
def test_logits_are_the_runners(ask, artifact, model, count):
    size = artifact.image_size
    images = np.random.default_rng(count).standard_normal((count, 3, size, size), dtype=np.float32)
    assert np.array_equal(ask(model, "images", images, "FP32"), run(artifact, images))


def test_files_of_images_have_the_classes_that_predict_says(ask, artifact):
    found = ask(
        "clothes_jpeg", "image", np.array([[path.read_bytes()] for path in PICTURES[:8]], dtype=object), "BYTES"
    )
    images = [preprocess(load_image(path), artifact.manifest.preprocessing) for path in PICTURES[:8]]
    assert np.array_equal(found, run(artifact, np.stack(images)))
    predicted = resnas.predict(artifact, PICTURES[:8], runner="ort-cpu", threads=1)
    names = artifact.manifest.class_names
    assert [each.top[0].name for each in predicted.images] == [names[best] for best in found.argmax(1)]


def test_its_claims_hold(server, models):
    assert [found.problem for model in check_repository(models).models for found in model.findings] == []
    resnas.triton.check(models, url=f"grpc://{server.grpc}", key_file=server.key, threads=1)


def test_nothing_but_the_cpu(artifact, tmp_path):
    message = refusal(lambda: add_model(tmp_path / "models", artifact, ModelSettings("clothes", on_gpu=True)))
    assert "must be served on the CPU, since its graph is written for ort-cpu" in message
