"""The README's client, as written, against a server of the network that it names."""

from __future__ import annotations

import re

import pytest
from support.places import ROOT
from support.triton_server import needs_server, started_server

from resnas_deploy.exporting.export import Request, export
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


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_readmes_client(clothes, protocol, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for text in ("tritonclient.grpc", "localhost:8001"):
        assert text in code
    code = code.replace("tritonclient.grpc", f"tritonclient.{protocol}")
    code = code.replace("localhost:8001", getattr(clothes, protocol))
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out == "['bag']\n['bag', 'trouser']\n"
