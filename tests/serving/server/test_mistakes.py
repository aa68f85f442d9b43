"""A client's mistake is told as the client's: HTTP 4xx, gRPC's codes for it, and which image of several it is."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.sent_images import GOOD, HUGE
from support.triton_server import needs_server
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

pytestmark = needs_server
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
BIG = GOOD + bytes(33 * 2**20)  # an image with a tail that no decoder reads


def infer(server, files, model="mini_jpeg"):
    """The code and the message of what gRPC answers to files of images; of answers their shape."""
    client = grpc.InferenceServerClient(server.grpc)
    value = np.array([[file] for file in files], dtype=object)
    given = grpc.InferInput("image", list(value.shape), "BYTES")
    given.set_data_from_numpy(value)
    try:
        return client.infer(model, [given]).as_numpy("logits").shape
    except InferenceServerException as error:
        return error.status(), error.message()
    finally:
        client.close()


def http(server, body, model="mini_jpeg"):
    """The status of what HTTP answers."""
    url = f"http://{server.http}/v2/models/{model}/infer"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with DIRECT.open(urllib.request.Request(url, content), timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def one(data, shape, kind="BYTES", name="image"):
    return {"inputs": [{"name": name, "shape": shape, "datatype": kind, "data": data}]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no image", "must be an image"),
        (b"", "must be an image"),
        (GOOD[: len(GOOD) // 2], "must be a complete image"),
        (HUGE, "must have at most 100 megapixels"),
        (BIG, "must be a file of at most 32 MiB"),
    ],
    ids=["none", "empty", "torn", "pixels", "bytes"],
)
def test_which_image_of_a_batch_is_wrong(server, content, said):
    assert infer(server, [GOOD] * 4) == (4, 10)
    for files, name in (([content], "the image"), ([GOOD, GOOD, content, GOOD], "image 3 of 4")):
        for model in ("mini_jpeg", "mini_preprocess"):
            code, message = infer(server, files, model)
            assert code == "StatusCode.INVALID_ARGUMENT"
            assert f"{name} {said}" in message


def test_a_bad_image_over_http(server):
    assert http(server, one(["no image"], [1, 1])) == 400
    assert http(server, one(["no image"] * 3, [3, 1])) == 400


@pytest.mark.parametrize(
    ("body", "model", "code"),
    [
        (one([], [0, 1]), "mini_jpeg", 400),
        (one(["a"] * 9, [9, 1]), "mini_jpeg", 400),
        (one([1.0], [1, 1], "FP32"), "mini_jpeg", 400),
        (one(["a", "b"], [1, 2]), "mini_jpeg", 400),
        (one(["a"], [1]), "mini_jpeg", 400),
        (one(["a"], [2, 1]), "mini_jpeg", 400),
        (one(["a", "b", "c"], [2, 1]), "mini_jpeg", 400),
        (one(["a"], [1, 1], name="file"), "mini_jpeg", 400),
        ({**one(["a"], [1, 1]), "outputs": [{"name": "nothing"}]}, "mini_jpeg", 400),
        (one([0.0] * 3, [1, 3, 1, 1], "FP32", "images"), "mini", 400),
        (one([], [0, 3, 112, 112], "FP32", "images"), "mini", 400),
        (one(["a"], [1, 1]), "nothing", 404),
        (one(["a"], [1, 1]), "mini_jpeg/versions/9", 404),
        (b"", "mini_jpeg", 400),
    ],
    ids=[
        *("empty", "too many", "type", "shape", "no batch", "too few", "too much", "input", "output"),
        *("size", "no images", "model", "version", "nothing"),
    ],
)
def test_other_mistakes(server, body, model, code):
    assert http(server, body, model) == code


@pytest.mark.parametrize("model", ["mini_jpeg", "mini_preprocess"])
@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01", b"\xff\xff\xff\x7fabc", b"\x01\0\0\0a\x01\0\0\0b"],
    ids=["none", "half a length", "longer than it is", "two"],
)
def test_bytes_that_are_no_list_of_files(server, model, raw):
    client = grpc.InferenceServerClient(server.grpc)
    given = grpc.InferInput("image", [1, 1], "BYTES")
    given.set_data_from_numpy(np.array([[b"a"]], dtype=object))
    given._raw_content = raw
    with pytest.raises(InferenceServerException) as failed:
        client.infer(model, [given])
    client.close()
    assert failed.value.status() == "StatusCode.INVALID_ARGUMENT"


def test_a_bad_image_fails_nobody_elses_request(server):
    """Many at once, of several images each, which the network takes in common batches."""
    wanted = {True: (2, 10), False: "StatusCode.INVALID_ARGUMENT"}

    def is_right(number):
        good = number % 3 > 0
        found = infer(server, [GOOD, GOOD if good else b"bad"])
        return found == wanted[True] if good else found[0] == wanted[False] and "image 2 of 2 must be" in found[1]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(is_right, range(36)))
