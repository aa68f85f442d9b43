"""A real server of a network that takes uint8 images answers as the artifact does, of a quarter of the bytes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.checks import check_schema, refusal
from support.places import ROOT
from support.sent_images import noise_png
from support.triton_server import needs_server, started_server
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import UINT8
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.preprocessing import levels
from resnas_deploy.images.samples import noise
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.load.asked_model import find_model
from resnas_deploy.serving.load.level import Level, run_level
from resnas_deploy.serving.load.result import LoadTestResult
from resnas_deploy.serving.repository.check import check_repository
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.addresses import Address
from resnas_deploy.serving.server.check_server import check_server
from resnas_deploy.weights.checkpoint import load

SIZE = 32


def exported(folder, taken):
    trained = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
    return export(lambda: trained, Request("clothes", folder / taken, input=taken, verify_on=None), silent)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The trained demo network, whose graph takes uint8 images."""
    return exported(tmp_path_factory.mktemp("uint8"), "uint8")


@pytest.fixture(scope="module")
def models(artifact, tmp_path_factory):
    """A repository of it, with what is around it and a response cache."""
    folder = tmp_path_factory.mktemp("serving") / "models"
    add_model(folder, artifact, ModelSettings("clothes", max_batch=4, cache=True), ensemble=True)
    return folder


@pytest.fixture(scope="module")
def server(models):
    with started_server(models) as running:
        yield running


def logits(artifact, images):
    with RUNNERS["ort-cpu"].open(artifact, Options(1)) as runner:
        return runner.run(images)[OUTPUT]


def answer(server, model, name, values, kind):
    client = grpc.InferenceServerClient(server.grpc)
    given = grpc.InferInput(name, list(values.shape), kind)
    given.set_data_from_numpy(values)
    try:
        return client.infer(model, [given]).as_numpy(OUTPUT)
    finally:
        client.close()


def test_the_repository(models):
    assert not [found for model in check_repository(models).models for found in model.findings]
    config = (models / "clothes" / "config.pbtxt").read_text()
    assert config.count("TYPE_UINT8") == 3, "the input and two batches of warm-up"
    assert re.search(r"dims: 32\n  dims: 32\n  dims: 3\n", config)


def test_what_does_not_fit_together(models, tmp_path, artifact):
    import shutil

    copy = shutil.copytree(models, tmp_path / "models")
    before = copy / "clothes_preprocess" / "config.pbtxt"
    text = before.read_text()
    text = text.replace("TYPE_UINT8", "TYPE_FP32").replace(
        "dims: 32\n  dims: 32\n  dims: 3\n", "dims: 3\n  dims: 32\n  dims: 32\n"
    )
    before.write_text(text)
    (line,) = [found.problem for model in check_repository(copy).models for found in model.findings]
    assert line == (
        "the step clothes must be given TYPE_UINT8 [32, 32, 3], as it takes images, found that clothes_preprocess "
        "gives TYPE_FP32 [3, 32, 32]"
    )
    other = exported(tmp_path, "float32")
    assert "found another input, another image size" in refusal(
        lambda: add_model(models, other, ModelSettings("clothes", max_batch=4))
    )


@needs_server
def test_answers_are_the_artifacts(server, artifact):
    images = noise(3, SIZE, UINT8)
    found = answer(server, "clothes", "images", images, "UINT8")
    assert relative_error(found, logits(artifact, images)) <= tolerance_of("fp32")
    with pytest.raises(InferenceServerException, match="UINT8"):
        answer(server, "clothes", "images", noise(1, SIZE), "FP32")


@needs_server
def test_files_of_images_are_cropped_and_no_more(server, artifact):
    pairs = [noise_png(seed) for seed in range(3)]
    wanted = logits(artifact, np.stack([levels(image, artifact.manifest.preprocessing) for image, _ in pairs]))
    files = np.array([[content] for _, content in pairs], dtype=object)
    found = answer(server, "clothes_jpeg", "image", files, "BYTES")
    assert relative_error(found, wanted) <= tolerance_of("fp32")


@needs_server
def test_the_server_is_checked_and_loaded(server, models):
    address = Address.parse(f"grpc://{server.grpc}")
    assert check_server(models, address, ["clothes", "clothes_preprocess", "clothes_jpeg"], threads=1) == []
    asked = find_model(address, "clothes", 2)
    assert asked.cached
    assert (asked.images.dtype, asked.images.shape) == (np.uint8, (2, SIZE, SIZE, 3))
    level = run_level(asked, Level(concurrency=1), 0.2, np.random.default_rng(0))
    assert level.latencies_s
    assert level.image_bytes == 2 * 3 * SIZE**2, "a quarter of what float32 images have"
    check_schema("triton-load", LoadTestResult("clothes", True, (level,), {}, {}).to_json())


@needs_server
def test_the_pages_client(server, artifact, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "UINT8" in block]
    monkeypatch.chdir(ROOT / "examples" / "demo" / "pictures")
    values = {}
    exec(compile(code.replace("localhost:8001", server.grpc), "serving.md", "exec"), values)
    names = artifact.manifest.class_names
    assert names[values["logits"].argmax()] == "bag"
    assert relative_error(values["logits"], logits(artifact, values["levels"])) <= tolerance_of("fp32")
