"""The client and the rest of the page on serving, as written, with a server of the network that they name."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from support.places import ROOT
from support.triton_server import PYTHON, needs_server, started_server

from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.weights.checkpoint import load

pytestmark = needs_server


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """A server of the trained demo network."""
    folder = tmp_path_factory.mktemp("clothes")
    trained = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
    artifact = export(lambda: trained, Request("clothes", folder / "clothes", verify_on=None), lambda _: None)
    add_model(folder / "models", artifact, ModelSettings("clothes", max_batch=4), ensemble=True)
    with started_server(folder / "models") as running:
        yield running


def blocks():
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_page_from_python(tmp_path):
    """With free ports, in the environment that has a server."""
    code = next(block for block in blocks() if 'serve("models")' in block)
    code = code.replace('serve("models")', 'serve("models", http_port=0, grpc_port=0, metrics_port=0)')
    trained = load(ROOT / "examples" / "demo" / "checkpoint.safetensors")
    export(lambda: trained, Request("clothes", tmp_path / "clothes", verify_on=None), lambda _: None)
    done = subprocess.run(
        [PYTHON, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'concurrency': 8" in done.stdout


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_pages_client(clothes, protocol, monkeypatch, capsys):
    code = next(block for block in blocks() if "def classify" in block)
    for text in ("tritonclient.grpc", "localhost:8001"):
        assert text in code
    code = code.replace("tritonclient.grpc", f"tritonclient.{protocol}")
    code = code.replace("localhost:8001", getattr(clothes, protocol))
    monkeypatch.chdir(ROOT)
    exec(compile(code, "serving.md", "exec"), {})
    assert capsys.readouterr().out == "['bag']\n['bag', 'trouser']\n"
