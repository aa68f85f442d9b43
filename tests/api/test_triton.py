"""`resnas_deploy.triton`: what its commands do, from Python."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from documents import DOCUMENTS
from json_schema import schema_of
from jsonschema import Draft202012Validator
from support.checks import refusal
from support.places import ROOT
from support.triton_server import PYTHON, folders, leftovers, needs_server

import resnas_deploy as resnas
from resnas_deploy.serving.server.huge_pages import TUNABLE, VARIABLE


def validate(name, document):
    """Hold a document against its schema."""
    Draft202012Validator(schema_of(DOCUMENTS[name], name)).validate(json.loads(json.dumps(document)))


@pytest.fixture
def models(mini_artifact, tmp_path):
    resnas.triton.export(mini_artifact, tmp_path / "models", ensemble=True)
    return tmp_path / "models"


def test_export_returns_what_was_added(models, mini_artifact):
    exported = resnas.triton.export([resnas.open(mini_artifact)], models, name="mini")
    assert exported.to_json() == [{"folder": str(models / "mini" / "2"), "version": 2, "new": True}]
    validate("triton-export", exported.to_json())
    assert exported.notes == ()
    assert str(models / "mini" / "2") in exported._repr_html_()


def test_check_returns_the_models_or_raises_with_them(models):
    found = resnas.triton.check(models)
    assert [(model.name, model.versions) for model in found.models] == [
        ("mini", (1,)),
        ("mini_jpeg", (1,)),
        ("mini_preprocess", (1,)),
    ]
    validate("triton-check", found.to_json())
    assert found.findings == ()
    (note,) = found.notes
    assert f"must have {VARIABLE}={TUNABLE}=1 in its environment" in note, "as the servers have that we start"
    path = models / "mini" / "config.pbtxt"
    path.write_text(path.read_text().replace("max_batch_size: 8", "max_batch_size: 9"))
    with pytest.raises(resnas.VerificationFailed, match="found 9") as failed:
        resnas.triton.check(models)
    assert [each["model"] for each in failed.value.report.to_json() if each["findings"]] == ["mini"]
    assert "max_batch_size must be from 1" in failed.value.report._repr_html_()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"latency": 5}, "`latency` must come with `measured`"),
        ({"instances": 0}, "`instances` must be from 1 to 64, found 0"),
        ({"threads": 5000}, "`threads` must be from 1 to 1024, found 5000"),
        ({"backend": "tensorrt", "gpu": True}, "must be given an engine"),
        ({"backend": "onnxruntime", "accelerator": "cuda"}, "give `gpu` too"),
        ({"versions": "newest"}, "the versions to serve must be"),
    ],
)
def test_an_export_that_cannot_be(mini_artifact, tmp_path, options, said):
    assert said in refusal(lambda: resnas.triton.export(mini_artifact, tmp_path / "models", **options))
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"http_port": 70_000}, "`http_port` must be from 0 to 65535, found 70000"),
        ({"address": "localhost"}, "an address to listen at must be an IP address"),
        ({"poll": -1}, "`poll` must be from 0 to 86400, found -1"),
        ({"key_file": "nothing"}, "the key must be in a file"),
    ],
)
def test_a_server_that_cannot_be(models, options, said):
    assert said in refusal(lambda: resnas.triton.serve(models, **options))


SERVER = """
import asyncio, json, sys
import resnas_deploy as resnas

ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
server = resnas.triton.serve(sys.argv[1], **ports)
print(json.dumps([server.http, server.url, server.metrics, str(server.key_file)]), flush=True)
if sys.argv[2] == "with":
    with server:
        async def cell():  # as in a notebook, where a loop runs already
            return resnas.triton.load(server, model="mini", concurrencies=[2], protocols=["grpc", "http"], seconds=0.2)
        result = asyncio.run(cell())
        assert "2 at once, http" in result._repr_html_()
        print(json.dumps(result.to_json()), flush=True)
        assert resnas.triton.check(sys.argv[1], url=server.url, threads=1).findings == ()
    server.stop()
elif sys.argv[2] == "dropped":
    del server
elif sys.argv[2] == "raises":
    raise SystemExit(7)
print("over", flush=True)
sys.stdin.read()
"""


def python_server(models, how):
    """A Python in the server's environment that starts one."""
    return subprocess.Popen(
        [PYTHON, "-c", SERVER, models, how],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@needs_server
@pytest.mark.parametrize("how", ["with", "dropped", "raises"])
def test_a_server_is_gone_when_nobody_needs_it(models, how):
    """At the end of a `with` block or of the process, or when nothing refers to it; while the process goes on."""
    with python_server(models, how) as process:
        http, url, metrics, key = json.loads(process.stdout.readline())
        assert url.startswith("grpc://127.0.0.1:")
        assert url.removeprefix("grpc://") != http
        assert metrics.endswith("/metrics")
        if how == "with":
            found = json.loads(process.stdout.readline())
            assert [(level["protocol"], level["concurrency"]) for level in found["levels"]] == [
                ("grpc", 2),
                ("http", 2),
            ]
        if how != "raises":
            line = process.stdout.readline()
            assert line == "over\n", process.stderr.read()
            assert leftovers(process) == folders(process) == []
            assert process.poll() is None
        _, err = process.communicate(timeout=120)
    assert process.returncode == (7 if how == "raises" else 0), err
    assert leftovers(process) == folders(process) == []
    assert not Path(key).exists()
