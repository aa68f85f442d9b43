"""A real server answers as the artifact does, refuses what is wrong, and leaves nothing when it stops."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.networks import mini
from support.processes import wait_for
from support.sent_images import GOOD, HUGE, noise_png
from support.small_export import request
from support.triton_server import FREE, folders, leftovers, needs_server, refusal, started_server
from tritonclient import grpc, http
from tritonclient.utils import InferenceServerException

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.exporting.export import export
from resnas_deploy.images.preprocessing import preprocess
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.check import check_repository
from resnas_deploy.serving.server.addresses import Address
from resnas_deploy.serving.server.check_server import check_server
from resnas_deploy.weights.checkpoint import untrained

pytestmark = needs_server
PROTOCOLS = {"grpc": grpc, "http": http}


@pytest.fixture(params=PROTOCOLS)
def client(request, server):
    """A client of each protocol, and its module."""
    module = PROTOCOLS[request.param]
    found = module.InferenceServerClient(getattr(server, request.param))
    yield found, module
    found.close()


def asked(client, name, value, model, **options):
    """What the server answers to one array."""
    connection, module = client
    kind = {"float32": "FP32", "float64": "FP64", "object": "BYTES"}[str(value.dtype)]
    given = module.InferInput(name, list(value.shape), kind)
    given.set_data_from_numpy(value)
    return connection.infer(model, [given], **options)


def noise(count, size=112):
    return np.random.default_rng(count).standard_normal((count, 3, size, size), dtype=np.float32)


def logits(folder, images):
    with RUNNERS["ort-cpu"].open(open_artifact(folder), Options(1)) as runner:
        return runner.run(images)[OUTPUT]


@pytest.mark.parametrize("count", [1, 3, 8])
def test_answers_are_the_artifacts(client, mini_artifact, count):
    images = noise(count)
    found = asked(client, "images", images, "mini").as_numpy(OUTPUT)
    assert relative_error(found, logits(mini_artifact, images)) <= tolerance_of("fp32")


def test_files_of_images_become_classes(client, mini_artifact):
    pairs = [noise_png(seed) for seed in range(3)]
    manifest = open_artifact(mini_artifact).manifest
    wanted = logits(mini_artifact, np.stack([preprocess(image, manifest.preprocessing) for image, _ in pairs]))
    files = np.array([[content] for _, content in pairs], dtype=object)
    found = asked(client, "image", files, "mini_jpeg").as_numpy(OUTPUT)
    assert relative_error(found, wanted) <= tolerance_of("fp32")
    _, module = client
    best = asked(client, "image", files, "mini_jpeg", outputs=[module.InferRequestedOutput(OUTPUT, class_count=1)])
    numbers = [int(text.decode().split(":")[1]) for text in best.as_numpy(OUTPUT).ravel()]
    assert numbers == wanted.argmax(1).tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no image at all", "must be an image"),
        (b"", "must be an image"),
        (GOOD[: len(GOOD) // 2], "complete image"),
        (HUGE, "at most 100 megapixels"),
    ],
)
def test_a_file_that_is_no_image_is_refused_alone(client, content, said):
    with pytest.raises(InferenceServerException, match=said):
        asked(client, "image", np.array([[content]], dtype=object), "mini_jpeg")
    assert asked(client, "image", np.array([[GOOD]], dtype=object), "mini_jpeg").as_numpy(OUTPUT).shape == (1, 10)


def test_among_many_at_once_only_the_bad_ones_fail(server):
    """Requests that share a batch: each has its own answer."""
    client = grpc.InferenceServerClient(server.grpc)

    def is_served(content):
        try:
            asked((client, grpc), "image", np.array([[content]], dtype=object), "mini_jpeg")
        except InferenceServerException as error:
            assert "must be an image" in str(error)
            return False
        return True

    with ThreadPoolExecutor(24) as pool:
        assert list(pool.map(is_served, [b"bad", GOOD, GOOD] * 8)) == [False, True, True] * 8
    client.close()


@pytest.mark.parametrize(
    ("images", "model", "said"),
    [
        (noise(1, 56), "mini", "unexpected shape"),
        (noise(1)[0], "mini", "unexpected shape"),
        (noise(9), "mini", "batch-size must be <= 8"),
        (noise(1).astype(np.float64), "mini", "data-type"),
        (noise(1), "nothing", "unknown model|not found"),
    ],
)
def test_wrong_requests_are_told_why(client, images, model, said):
    with pytest.raises(InferenceServerException, match=said):
        asked(client, "images", images, model)


def test_an_unknown_version(client):
    with pytest.raises(InferenceServerException, match="version"):
        asked(client, "images", noise(1), "mini", model_version="7")


def test_malformed_requests_do_not_stop_it(server, mini_artifact):
    random = np.random.default_rng(0)
    for number in range(1000):
        body = random.bytes(int(random.integers(0, 200))) if number % 2 else b""
        asking = urllib.request.Request(f"http://{server.http}/v2/models/mini/infer", body, method="POST")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(asking, timeout=300)
    client = http.InferenceServerClient(server.http)
    found = asked((client, http), "images", noise(2), "mini").as_numpy(OUTPUT)
    assert relative_error(found, logits(mini_artifact, noise(2))) <= tolerance_of("fp32")
    client.close()


def test_a_check_of_the_server_finds_what_it_does_otherwise(server, repository, tmp_path, mini_artifact):
    models = shutil.copytree(repository, tmp_path / "models")
    address = Address.parse(server.grpc)

    def findings():
        names = [model.name for model in check_repository(models).models]
        return [str(each) for each in check_server(models, address, names, threads=1)]

    assert findings() == []
    made = replace(request(tmp_path), out=tmp_path / "newer", verify_on=None)
    other = export(lambda: untrained(mini().arch, seed=1), made, lambda _: None)
    for name in ("model.onnx", "manifest.json"):
        shutil.copyfile(other.folder / name, models / "mini" / "1" / name)
    (line,) = findings()
    assert "mini version 1: the server's logits must be those of the graph within 1e-05, found an error of" in line
    path = models / "mini" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 4"))
    assert "mini: the server's max_batch_size must be that of config.pbtxt" in findings()[0]
    (models / "more").mkdir()
    shutil.copyfile(path, models / "more" / "config.pbtxt")
    assert "more: the server must have it ready, found that it has not" in findings()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_stops_cleanly(repository, number):
    with started_server(repository, stop=number) as running:
        assert leftovers(running.process)
    assert running.process.returncode == 0
    assert running.last_words == ["stopped\n", ""]
    assert leftovers(running.process) == folders(running.process) == []


def test_when_it_is_killed_the_server_ends_too(repository):
    with started_server(repository, stop=signal.SIGKILL) as running:
        pass
    assert running.process.returncode == -signal.SIGKILL
    wait_for(lambda: not leftovers(running.process))


@pytest.mark.slow
def test_when_all_are_killed_the_next_one_removes_what_is_left(repository):
    with started_server(repository, stop=signal.SIGKILL) as running:
        children = [int(pid) for pid in leftovers(running.process) if pid.isdecimal()]
        running.process.kill()
        for child in children:
            os.kill(child, signal.SIGKILL)
    assert leftovers(running.process)
    assert folders(running.process)
    with started_server(repository):
        pass
    assert leftovers(running.process) == folders(running.process) == []


def test_a_port_that_is_taken(repository):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"the HTTP port must be free, found {port} taken" in refusal(
            "triton", "serve", repository, *FREE[2:], "--http-port", port
        )


def test_a_model_that_does_not_load_is_said_with_the_servers_words(repository, tmp_path):
    shutil.copytree(repository, tmp_path / "models")
    (tmp_path / "models" / "mini" / "1" / "model.onnx").write_bytes(b"broken")
    line = refusal("triton", "serve", tmp_path / "models", *FREE)
    assert "the server did not start" in line
    assert "model.onnx" in line or "INVALID_PROTOBUF" in line or "Protobuf" in line
    log = Path(line.rpartition("(its log: ")[2].rstrip().removesuffix(")"))
    assert "model.onnx" in log.read_text()
    log.unlink()


def test_models_that_are_never_ready(repository, tmp_path):
    """The server waits for ever for a model of the Python backend that has no program."""
    shutil.copytree(repository, tmp_path / "models")
    (tmp_path / "models" / "mini" / "1" / "model.py").unlink()
    line = refusal("triton", "serve", tmp_path / "models", *FREE, "--ready-within", "3")
    assert "the models must be ready within 3 s, found some that are not" in line or "did not start" in line
    Path(line.rpartition("(its log: ")[2].rstrip().removesuffix(")")).unlink()


def test_no_repository(tmp_path):
    assert "must be a folder, found none" in refusal("triton", "serve", tmp_path / "nothing", *FREE)
