"""Quantised artifacts on the command line: exported, verified by accuracy, run, timed, and refused."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image
from support.places import DEMO, GOLDEN

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import load

ONE = ("--threads", "1")  # two of torch's wait for each other in turns while other processes have the cores
CAT = GOLDEN / "images" / "cat.jpg"
TOP1 = re.compile(
    r"top-1 (\d\d\.\d\d) % against (\d\d\.\d\d) % on 2000 images of demo, a drop of -?\d\.\d\d of at most"
)


@pytest.fixture(scope="session")
def int8(tmp_path_factory):
    """The folder of the demo network's verified int8 artifact. No test may change it."""
    folder = tmp_path_factory.mktemp("int8") / "demo-int8"
    wanted = Request("demo", folder, precision="int8", verify_on=RUNNERS["ort-cpu"])
    export(lambda: load(DEMO), wanted, lambda _: None)
    yield folder
    open_artifact(folder)


@pytest.mark.parametrize("precision", ["int8", pytest.param("fp8", marks=pytest.mark.slow)])
def test_an_export_says_top1_both_ways(resnas, tmp_path, precision):
    done = resnas("export", *ONE, "--checkpoint", DEMO, "--precision", precision, "--batch", "1:16", "--out", "out")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"out: checkpoint {precision} 32, batch 1:16, ")
    graph, module = map(float, TOP1.search(lines[1]).groups())
    assert abs(graph - module) <= 0.5
    manifest = open_artifact(tmp_path / "out").manifest
    assert f"{manifest.verification.accuracy.graph:.2f}" == f"{graph:.2f}"
    assert manifest.quantisation["calibration"]["source"] == "demo"


@pytest.mark.slow
def test_verify_measures_accuracy_again(resnas, int8):
    text = resnas("verify", int8, *ONE, "--data", "demo", "--max-drop", "2").out
    assert f"{TOP1.search(text)[0]} 2 points" in text
    found = resnas("verify", int8, *ONE, "--runner", "openvino", "--json").json["verification"]
    assert found["accuracy"]["pictures"] == 2000
    assert found["element_errors"][0][0] == "stem"


def spoil(tmp_path):
    np.save(tmp_path / "dark.npy", np.random.default_rng(0).standard_normal((8, 3, 32, 32), dtype=np.float32) * 1e-3)
    return "--calibration", "dark.npy", "--calibration-images", "8", "--fallback-minutes", "0"


@pytest.mark.usefixtures("few_images")
def test_a_spoiled_graph_ends_with_three_and_leaves_nothing(refused, tmp_path):
    arguments = ("export", *ONE, "--checkpoint", DEMO, "--precision", "int8", "--max-drop", "0", *spoil(tmp_path))
    line = refused(*arguments, code=3)
    assert "top-1 " in line


@pytest.mark.usefixtures("few_images")
def test_a_spoiled_graph_as_json(resnas, tmp_path):
    arguments = ("export", *ONE, "--checkpoint", DEMO, "--precision", "int8", "--json", *spoil(tmp_path))
    found = resnas(*arguments, code=3).json
    accuracy = found["verification"]["accuracy"]
    assert found["artifact"] is None
    assert accuracy["reference"] - accuracy["graph"] > accuracy["max_drop"]


@pytest.mark.usefixtures("few_images")
def test_verify_refuses_a_drop_that_is_too_large(resnas, refused, tmp_path):
    """The same artifact, by what may be lost."""
    arguments = ("export", *ONE, "--checkpoint", DEMO, "--precision", "int8", "--unverified", "--out", "out")
    resnas(*arguments, *spoil(tmp_path))
    assert "top-1 " in refused("verify", "out", *ONE, code=3)


@pytest.mark.parametrize(
    "options",
    [("--data", "demo"), ("--max-drop", "1"), ("--calibration", "x.npy"), ("--calibration-images", "5")],
    ids=lambda options: options[0],
)
def test_options_of_quantisation_without_it(refused, tiny, options):
    assert f"{options[0]} must come with int8 or fp8, found --precision fp32" in refused(
        "export", "--arch", tiny, *options
    )


@pytest.mark.parametrize("options", [("--data", "demo"), ("--max-drop", "1")])
def test_accuracy_of_an_artifact_that_is_not_quantised(refused, mini_artifact, options):
    assert "accuracy is compared for int8 and fp8, found fp32" in refused("verify", mini_artifact, *options)


@pytest.mark.parametrize("value", ["nan", "-1", "101", "x"])
def test_a_drop_is_a_share(refused, int8, value):
    assert "--max-drop" in refused("verify", int8, "--max-drop", value)


def test_data_without_verification(refused):
    line = refused("export", *ONE, "--checkpoint", DEMO, "--precision", "int8", "--unverified", "--data", "demo")
    assert "leave --data or --unverified out" in line


def test_more_images_than_there_are(refused, tiny, tmp_path):
    (tmp_path / "few").mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (number * 60, 0, 0)).save(tmp_path / "few" / f"{number}.png")
    arguments = ("export", "--arch", tiny, "--precision", "int8", "--calibration", "few", "--calibration-images", "5")
    assert "few must hold the 5 images that were asked for, found 3" in refused(*arguments)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "found no such thing"),
        ("nowhere.npy", "nowhere.npy must be a readable file"),
        ("empty", "must hold images"),
    ],
)
def test_a_wrong_calibration(refused, tiny, tmp_path, source, said):
    (tmp_path / "empty").mkdir()
    assert said in refused("export", "--arch", tiny, "--precision", "int8", "--calibration", source)


@pytest.mark.parametrize("data", ["demo", "nowhere"])
def test_wrong_data(refused, tiny, data):
    line = refused("export", "--arch", tiny, "--precision", "int8", "--data", data)
    assert "--data must " in line


def test_what_was_not_measured_is_in_the_label(resnas, tiny):
    text = resnas("export", "--arch", tiny, "--precision", "int8", "--calibration-images", "8").out
    assert "tiny int8 56 (untrained weights, accuracy not measured)" in text
    assert "top-1 agrees on " in text
    assert "images of" not in text
    assert "accuracy not measured" in resnas("inspect", "tiny-int8").out


@pytest.mark.parametrize(("runner", "precision"), [("torch", "int8"), ("torch", "fp8"), ("openvino-bf16", "fp8")])
def test_runners_without_kernels_for_it(refused, tiny, cpu_that_has, runner, precision):
    cpu_that_has("FP32", "INT8", "BF16")
    line = refused("export", "--arch", tiny, "--precision", precision, "--verify-on", runner)
    assert runner in line
    assert precision not in RUNNERS["ort-cuda"].precisions  # which is refused as missing first, where there is no GPU


def test_a_cpu_without_bf16_is_told_first(refused, tiny, cpu_that_has):
    cpu_that_has("FP32", "INT8")
    line = refused("export", "--arch", tiny, "--precision", "int8", "--verify-on", "openvino-bf16", code=5)
    assert "the runner openvino-bf16 is not available here: this CPU cannot compute in bf16, " in line


@pytest.mark.parametrize("command", [("predict", CAT), ("bench", "--runs", "2")], ids=lambda command: command[0])
def test_weights_are_not_run_for_a_quantised_graph(refused, int8, command):
    line = refused(command[0], int8, *command[1:], "--runner", "torch")
    assert "torch must have kernels for int8" in line


def test_predict(resnas, int8):
    assert "%" in resnas("predict", int8, CAT).out
    found = resnas("predict", int8, CAT, "--json").json
    assert str(CAT) in json.dumps(found)


@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
def test_bench(resnas, int8, runner):
    found = resnas("bench", int8, "--runner", runner, "--batch", "1", "--runs", "2", "--json").json
    (item,) = found["measurements"]
    assert item["configuration"]["label"].startswith("demo int8 32")
    assert item["figures"]["p50_ms"] > 0


@pytest.mark.slow  # a network of 224 pixels is traced
def test_a_peer_is_int8_beside_it(resnas, int8):
    options = ("--peer", "deit-tiny", "--runner", "ort-cpu", "--batch", "1", "--runs", "2", "--json")
    found = [item["configuration"] for item in resnas("bench", int8, *options).json["measurements"]]
    assert [(item["precision"], item["label"][:9]) for item in found] == [("int8", "demo int8"), ("int8", "deit-tiny")]


def test_inspect(resnas, int8):
    text = resnas("inspect", int8).out
    assert "QuantizeLinear" in text
    assert resnas("inspect", int8, "--json").json["manifest"]["quantisation"]["calibration"]["images"] == 128


def test_what_was_kept_is_said_by_export_and_by_inspect(resnas):
    arguments = ("export", *ONE, "--checkpoint", DEMO, "--precision", "int8", "--unverified", "--out", "kept")
    options = ("--calibration-images", "4", "--keep", "stage1.block2", "--keep", "reduction1")
    line = "kept in fp32, as asked: stage1.block2.attention, stage1.block2.mlp, reduction1"
    assert line in resnas(*arguments, *options).out
    assert line in resnas("inspect", "kept").out
