"""The example of an image: what it is made of is pinned, and the script that it runs closes the server's protocols."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from support.deployment_files import DEPLOY, command, dockerfile, kubernetes_objects
from support.triton_server import PYTHON, needs_server

from resnas_deploy.serving.repository.releases import is_safe, onnxruntime_of, tensorrt_of

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def objects():
    """The objects of the Kubernetes example by their kind."""
    return kubernetes_objects()


def test_the_image_is_named_by_a_digest_that_has_to_be_put_in(objects, tmp_path):
    """A tag may be moved, and a made-up digest would be a lie: nothing can be pulled until somebody says which."""
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    name, _, digest = container["image"].partition("@sha256:")
    assert ":" not in name
    assert re.fullmatch("[0-9a-f]{64}", digest) is None
    said = {each["instruction"]: each["value"] for each in dockerfile(tmp_path).structure}
    assert said["FROM"].endswith("@${DIGEST}")
    assert "ARG DIGEST\n" in (DEPLOY / "Dockerfile").read_text()  # without a default


def test_the_image(tmp_path, objects):
    instructions = [each for each in dockerfile(tmp_path).structure if each["instruction"] != "COMMENT"]
    names = ["ARG", "ARG", "FROM", "COPY", "RUN", "COPY", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "CMD"]
    assert [each["instruction"] for each in instructions] == names
    said = {each["instruction"]: each["value"] for each in instructions}
    assert said["FROM"] == "nvcr.io/nvidia/tritonserver:${RELEASE}-py3@${DIGEST}"
    release = re.search("^ARG RELEASE=(.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert is_safe(release)
    assert onnxruntime_of(release)
    assert tensorrt_of(release)
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(shlex.split(said["RUN"]))
    assert shlex.split(said["RUN"])[-1].endswith("/requirements.txt")
    user = objects["Deployment"]["spec"]["template"]["spec"]["securityContext"]["runAsUser"]
    assert said["USER"] == str(user) != "0"
    assert "localhost:8000/v2/health/ready" in said["HEALTHCHECK"]
    assert f"--model-repository={shlex.split(said['COPY'])[-1]}" in command()


def test_what_the_image_installs_is_whole_and_pinned_by_hash():
    """All that onnxruntime and Pillow want but NumPy, which is in the image: our versions, for both machines."""
    text = (DEPLOY / "requirements.txt").read_text().replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    locked = (DEPLOY.parent / "locks" / "serving.txt").read_text().split()
    assert {word for line in lines for word in line} <= set(locked)
    hashes = {line[0].partition("==")[0]: line[1:] for line in lines}
    wanted, seen = ["onnxruntime", "pillow"], set()
    while wanted:
        name = wanted.pop()
        seen.add(name)
        needs = [Requirement(text) for text in requires(name) or ()]
        wanted += [each.name for each in needs if not each.marker and each.name not in seen]
    assert set(hashes) == seen - {"numpy"}
    for name, found in hashes.items():
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for each in found)
        pure = name in ("flatbuffers", "packaging")
        assert len(set(found)) == (1 if pure else 2)  # a wheel for every machine, or one for each


def test_the_script_of_the_image_refuses_a_key_that_is_none(tmp_path):
    for key in ("", "short", "with spaces in the middle of it", "x" * 40 + ",inference:y=z"):
        (tmp_path / "key").write_text(key)
        done = subprocess.run(
            ["sh", DEPLOY / "serve.sh"],
            env={"PATH": os.defpath, "RESNAS_KEY_FILE": str(tmp_path / "key")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2
        assert done.stderr.startswith(f"the key in {tmp_path / 'key'} must be")


@contextmanager
def installed_server():
    """The program of the server from pip, and the environment that it starts in."""
    script = (
        "import json, sys; from pathlib import Path; from resnas_deploy.serving.server.installed import find_server; "
        "found = find_server(Path(sys.argv[1])); "
        "print(json.dumps([str(found.program), found.arguments, dict(found.environment)]))"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(DEPLOY.parent)}
        done = subprocess.run(
            [PYTHON, "-c", script, folder], env=environment, capture_output=True, text=True, check=True
        )
        program, arguments, environment = json.loads(done.stdout)
        yield [program, *arguments], environment


@needs_server
@pytest.mark.parametrize("has_key", [True, False])
def test_the_script_of_the_image_closes_protocols(repository, tmp_path, has_key):
    """With the server from pip in the place of the image's, on loopback, without the option that it does not know."""
    key = "a-key-of-the-operator"
    if has_key:
        (tmp_path / "key").write_text(f"{key}\n")
    ports = [free_port() for _ in range(3)]
    http = f"127.0.0.1:{ports[0]}"
    given = [option for option in command()[1:] if not option.startswith(("--http-max-input-size", "--model-rep"))]
    given += [f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")]
    given += [f"--{name}-port={port}" for name, port in zip(("http", "grpc", "metrics"), ports, strict=True)]
    prefix = f"resnas-deploy-{ports[0]}-"
    given += [f"--model-repository={repository}", f"--backend-config=python,shm-region-prefix-name={prefix}"]
    with installed_server() as ((program, *arguments), environment):
        environment["PATH"] = os.pathsep.join([environment["PATH"], str(Path(program).parent)])
        environment["RESNAS_KEY_FILE"] = str(tmp_path / "key")
        process = subprocess.Popen(
            ["sh", DEPLOY / "serve.sh", *given, *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 120
            while status(f"http://{http}/v2/health/ready") != 200:
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            for path in ("logging", "systemsharedmemory/status", "trace/setting", "models/mini/config", "models/stats"):
                assert status(f"http://{http}/v2/{path}") == 403
                assert status(f"http://{http}/v2/{path}", {"resnas-key": key}) == (200 if has_key else 403)
            assert status(f"http://{http}/v2/models/mini") == 200
        finally:
            process.terminate()
            process.wait(60)
    assert list(Path("/dev/shm").glob(f"{prefix}*")) == []


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def status(url, headers=None):
    """What an answer says; 0 where there is none."""
    try:
        with DIRECT.open(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@needs_server
def test_the_server_knows_the_images_options():
    """It would not start with one that it does not know."""
    with installed_server() as ((program, *_), environment):
        answer = subprocess.run([program, "--help"], env=environment, capture_output=True, text=True, check=False)
    program, *options = command()
    assert program == "/opt/resnas/serve.sh"
    options += re.findall(r"--[\w-]+", (DEPLOY / "serve.sh").read_text().partition("exec tritonserver")[2])
    # This server is older than the option, which newer ones have (HTTP_DEFAULT_MAX_INPUT_SIZE in src/common.h).
    unknown = {option.partition("=")[0] for option in options} - set(
        re.findall(r"--[\w-]+", answer.stdout + answer.stderr)
    )
    assert unknown == {"--http-max-input-size"}
