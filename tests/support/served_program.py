"""The program that Triton's Python backend runs a network with, as the server starts it."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib import resources
from types import ModuleType

from resnas_deploy.arch.elements import INPUT, OUTPUT


def load(monkeypatch):
    """The program as a module; the server's own module, which it imports, is empty."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    path = resources.files("resnas_deploy.serving.repository.models") / "network.py"
    spec = importlib.util.spec_from_file_location("served_network", path)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def initialised(program, folder, kind="CPU", device="0"):
    """An instance of the model in a folder, of version 1, with a thread, on a kind of device."""
    config = {
        "input": [{"name": INPUT}],
        "output": [{"name": OUTPUT}],
        "parameters": {"intra_op_thread_count": {"string_value": "1"}},
    }
    model = program.TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps(config),
            "model_instance_kind": kind,
            "model_instance_device_id": device,
            "model_repository": str(folder),
            "model_version": "1",
        }
    )
    return model
