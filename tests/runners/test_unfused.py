"""ONNX Runtime on the CPU keeps Gelu as it is, in our runner and in what Triton serves: BiasGelu is slower there.

The setting is `optimization.disable_specified_optimizers` of microsoft/onnxruntime,
include/onnxruntime/core/session/onnxruntime_session_options_config_keys.h.
"""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from support import served_program

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.ort import NOT_DONE, UNFUSED
from resnas_deploy.runners.registry import RUNNERS


@pytest.fixture
def artifact(untrained_artifact):
    return open_artifact(untrained_artifact("fp32"))


def test_the_runner_runs_no_biasgelu_and_says_so(artifact):
    runner = RUNNERS["ort-cpu"].open(artifact, Options(1, profile=True))
    try:
        ran = runner.profile(noise(1, artifact.arch.image_size), 1)
    finally:
        runner.close()
    assert not [name for name in ran if "BiasGelu" in name]
    assert [name for name in ran if name.endswith(".mlp.gelu")]
    assert ", without BiasGeluFusion" in runner.boundary  # so that older baselines are not compared silently


def test_nor_does_what_triton_serves(artifact, tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    shutil.copy(artifact.graph, tmp_path / "1" / "model.onnx")
    model = served_program.initialised(served_program.load(monkeypatch), tmp_path)
    assert model._session.get_session_options().get_session_config_entry(NOT_DONE) == UNFUSED


def test_the_name_is_one_that_onnx_runtime_knows(artifact, tmp_path):
    """An unknown one would be passed over: what it makes of the graph tells."""
    import onnxruntime as ort

    made = {}
    for unfused in ("", UNFUSED):
        settings = ort.SessionOptions()
        settings.log_severity_level = 4  # it warns that the file is for this machine alone
        settings.optimized_model_filepath = str(tmp_path / "made.onnx")
        settings.add_session_config_entry(NOT_DONE, unfused)
        session = ort.InferenceSession(artifact.graph, settings, providers=["CPUExecutionProvider"])
        operators = {node.op_type for node in onnx.load(tmp_path / "made.onnx").graph.node}
        made[unfused] = session.run(None, {"images": noise(2, artifact.arch.image_size)})[0]
        assert ({"Gelu", "BiasGelu"} & operators) == ({"Gelu"} if unfused else {"BiasGelu"})
    assert np.abs(made[""] - made[UNFUSED]).max() <= 1e-5 * np.abs(made[""]).max()
