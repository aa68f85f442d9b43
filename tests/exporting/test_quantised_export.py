"""A quantised export: the same bytes every time, and a manifest that says how it was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.checks import refusal
from support.places import DEMO, ROOT
from support.small_export import SMALL, request

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.exporting.calibration import calibration
from resnas_deploy.exporting.export import export
from resnas_deploy.graph.spelling import WITH_GEMM
from resnas_deploy.progress import silent
from resnas_deploy.weights.checkpoint import untrained

SAME = """
import sys
from pathlib import Path
sys.argv = ["resnas", "export", "--checkpoint", sys.argv[1], "--precision", sys.argv[2], "--calibration-images", "8",
            "--unverified", "--batch", "1:4", "--out", sys.argv[3]]
from resnas_deploy.cli.app import main
main()
"""


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_exports_of_two_processes_are_byte_identical(tmp_path, precision):
    """Sets are in another order in each: no name or place may come from one."""
    hashes = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        command = [sys.executable, "-c", SAME, str(DEMO), precision, str(out)]
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        assert done.returncode == 0, done.stderr
        hashes.append(dict(open_artifact(out).manifest.files))
    assert hashes[0] == hashes[1]
    assert "model.onnx" in hashes[0]


@pytest.mark.parametrize(("precision", "engine"), [("int8", False), ("int8", True), ("fp8", False)])
def test_what_the_manifest_says(tmp_path, precision, engine):
    wanted = request(tmp_path, precision=precision, for_engine=engine, calibration_images=4, verify_on=None)
    artifact = export(lambda: untrained(SMALL), wanted, silent)
    manifest = open_artifact(artifact.folder).manifest
    assert manifest == artifact.manifest
    said = manifest.quantisation
    assert said["calibration"] == calibration(None, 4, manifest.preprocessing).to_json()
    assert said["around"] == ("fp16" if engine or precision == "fp8" else "fp32")
    assert ("convolutions" in said["kept"]) == (engine or precision == "fp8")
    assert (
        said["activations"]
        == {"int8": "int8, symmetric" if engine else "uint8, asymmetric", "fp8": "fp8, symmetric"}[precision]
    )
    assert bool(manifest.kept_in_fp32) == (said["around"] == "fp16")
    path = artifact.folder / "manifest.json"
    body = json.loads(path.read_text())
    body["quantisation"]["calibration"]["images"] = 5
    path.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
    assert "was changed after it was written" in refusal(lambda: open_artifact(artifact.folder))


def test_what_is_not_quantised_says_nothing(tmp_path):
    assert export(lambda: untrained(SMALL), request(tmp_path, verify_on=None), silent).manifest.quantisation is None


def test_quantised_products_are_matmul(tmp_path):
    """Of Gemm ONNX Runtime makes QGemm, which is slower; so it is no choice, and not tried either."""
    assert WITH_GEMM.name not in request(tmp_path, precision="int8", verify_on=None).spellings
    assert WITH_GEMM.name in request(tmp_path, verify_on=None).spellings
    message = refusal(lambda: request(tmp_path, precision="int8", spelling=WITH_GEMM, verify_on=None))
    assert message == (
        "`spelling` must be without gemm in int8, whose quantised products are MatMul, found operator+views+gemm; "
        "leave it out"
    )
