"""A graph that is written for one runner: whoever else might run it, build of it or serve it says so and refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal
from support.networks import mini
from support.small_export import SMALL, request

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.manifest import Manifest
from resnas_deploy.artifact.written_for import FOR_RUNNERS
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.unchanged import unchanged
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.contents import check_servable
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.weights.checkpoint import untrained

FOR_ORT = {"precision": "int8", "for_runner": "ort-cpu"}


@pytest.fixture(scope="module")
def for_ort(tmp_path_factory):
    """An int8 artifact for ONNX Runtime's CPU."""
    wanted = request(tmp_path_factory.mktemp("for"), **FOR_ORT, calibration_images=4, verify_on=None)
    return export(lambda: untrained(SMALL), wanted, silent)


def test_each_is_a_runner():
    assert set(FOR_RUNNERS) <= set(RUNNERS)


def test_the_manifest_and_every_table_say_it(for_ort):
    manifest = open_artifact(for_ort.folder).manifest
    assert manifest.for_runner == open_artifact(for_ort.folder).for_runner == "ort-cpu"
    assert manifest.label == "test int8 112 for ort-cpu (untrained weights, UNVERIFIED)"
    assert manifest.to_json()["for_runner"] == "ort-cpu"
    usual = replace(manifest, for_runner="")
    assert "for_runner" not in usual.to_json()
    assert Manifest.from_bytes(usual.to_bytes()) == usual


@pytest.mark.parametrize("name", [name for name in RUNNERS if name != "ort-cpu"])
def test_every_other_runner_refuses_it_by_name(for_ort, name):
    message = refusal(lambda: RUNNERS[name].check_opening(for_ort, Options(1)))
    assert message == (
        f"{for_ort.folder} must be run by ort-cpu, which its graph is written for, found the runner {name}; "
        "export it without `for_runner` for others"
    )


def test_verification_refuses_another_before_any_work(for_ort):
    def told(step):
        pytest.fail(f"it began with {step}")

    message = refusal(lambda: resnas.verify(for_ort.folder, runner="openvino", progress=told))
    assert "must be run by ort-cpu" in message


@pytest.mark.parametrize("target", TARGETS.values(), ids=str)
def test_no_engine_is_built_of_it(for_ort, target):
    message = refusal(lambda: build_engine(for_ort, target, BuildOptions(), silent))
    assert "must be built of a graph for any runner" in message
    assert "written for ort-cpu" in message


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"on_gpu": True}, "a GPU"),
        ({"backend": "onnxruntime", "accelerator": "openvino"}, "the accelerator openvino"),
        ({"backend": "onnxruntime", "accelerator": "tensorrt", "on_gpu": True}, "the accelerator tensorrt"),
    ],
)
def test_triton_serves_it_on_the_cpu_alone(for_ort, changes, found):
    check_servable(for_ort, ModelSettings("net"), None)
    check_servable(for_ort, ModelSettings("net", backend="onnxruntime"), None)
    message = refusal(lambda: check_servable(for_ort, ModelSettings("net", **changes), None))
    assert "must be served on the CPU, since its graph is written for ort-cpu" in message
    assert f"found {found};" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"for_runner": "ort-gpu"}, "`for_runner` must be ort-cpu or openvino, found 'ort-gpu'"),
        ({"for_runner": "", "precision": "fp32"}, None),
        (
            {"precision": "fp32"},
            "`for_runner` ort-cpu must come with `precision` int8, found fp32, whose graph is the same",
        ),
        ({"precision": "fp16"}, "must come with `precision` int8, found fp16"),
        ({"precision": "fp8"}, "must come with `precision` int8, found fp8"),
        ({"verify_on": RUNNERS["openvino"]}, "must be verified there, found `verify_on` openvino"),
    ],
)
def test_what_does_not_go_together(tmp_path, changes, said):
    def ask():
        return request(tmp_path, **FOR_ORT | {"verify_on": None} | changes)

    if said is None:
        assert ask().for_runner == ""
    else:
        assert said in refusal(ask)


def test_the_function_refuses_an_engine_before_any_work(tmp_path):
    message = refusal(lambda: resnas.export("small", tmp_path / "x", target="aoti", for_runner="ort-cpu"))
    assert message.startswith("`for_runner` must come without a `target`")
    assert not list(tmp_path.iterdir())


def test_the_usual_name_says_it_and_it_is_verified_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = resnas.export(checkpoint=mini(), **FOR_ORT, calibration_images=4, batch="1:2")
    assert str(made.folder).endswith("-int8-ort-cpu")
    assert made.manifest.verification.runner.startswith("ort-cpu")


def test_one_for_any_runner_is_not_the_same(tmp_path, for_ort):
    """What is there for one runner is no answer to who asks for any."""
    wanted = request(for_ort.folder.parent, out=for_ort.folder, **FOR_ORT, calibration_images=4, verify_on=None)
    assert unchanged(lambda: untrained(SMALL), wanted, silent) is not None
    assert unchanged(lambda: untrained(SMALL), replace(wanted, for_runner=""), silent) is None
