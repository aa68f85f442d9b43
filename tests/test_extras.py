"""The extras of the package: what each asks for, that what helps names one, and that pip can resolve each."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from support.places import ROOT

from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.runners.registry import RUNNERS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
ONE_MODULE = {"onnxruntime", "onnxruntime-gpu"}  # both install `onnxruntime`
# Of an index that has no libraries of TensorRT: its packages there fetch them from elsewhere while pip resolves.
PLACEHOLDER = "special placeholder package"
NO_INDEX = re.compile(r"No matching distribution|Connection|Temporary failure|Max retries|ReadTimeout|HTTP error", re.I)


def names(requirements):
    return {canonicalize_name(requirement.name) for requirement in requirements}


def asked(extra, package):
    return next(requirement for requirement in EXTRAS[extra] if requirement.name == package)


def test_no_extra_asks_for_both_builds_of_onnxruntime():
    assert not names(map(Requirement, PROJECT["dependencies"])) & ONE_MODULE
    for extra, requirements in EXTRAS.items():
        assert len(names(requirements) & ONE_MODULE) <= 1, extra
    assert names(EXTRAS["gpu"]) & ONE_MODULE == {"onnxruntime-gpu"}


def test_the_gpu_extra_is_what_its_providers_load():
    """The wheel of 1.31.1 links libnvinfer.so.10; what CUDA and cuDNN it wants are extras of its own."""
    gpu = asked("gpu", "onnxruntime-gpu")
    assert gpu.extras == {"cuda", "cudnn"}
    assert [gpu.specifier.contains(found) for found in ("1.24.2", "1.27.0", "1.31.1")] == [False, True, True]
    tensorrt = asked("gpu", "tensorrt").specifier
    assert [tensorrt.contains(found) for found in ("10.14.1", "10.16.1.11", "11.4.0.106")] == [False, True, False]


def test_engines_of_their_own_may_be_of_tensorrt_11():
    tensorrt = asked("tensorrt", "tensorrt").specifier
    assert [tensorrt.contains(found) for found in ("10.16.1.11", "11.4.0.106", "12.0")] == [True, True, False]
    assert {"cuda-bindings"} <= names(EXTRAS["tensorrt"]) & names(EXTRAS["rtx"])  # for hosts without PyTorch


@pytest.mark.parametrize("helped", [*RUNNERS.values(), *TARGETS.values()], ids=lambda helped: helped.name)
def test_what_helps_names_an_extra_that_is_there(helped):
    for extra in re.findall(r"resnas\[(.*?)\]", helped.install):
        assert helped.module in {
            name.replace("-cu13", "").replace("-", "_").removesuffix("_gpu") for name in names(EXTRAS[extra])
        }


def test_the_page_says_which_to_take():
    section = (ROOT / "docs" / "install.md").read_text()
    for extra in set(EXTRAS) - {"dev"}:
        assert re.search(rf"`(\S+,)?{extra}(,\S+)?`", section), extra


@pytest.mark.slow
@pytest.mark.parametrize("extra", [*sorted(set(EXTRAS) - {"dev"}), "gpu,tensorrt"])
def test_pip_resolves(extra, tmp_path):
    """By the index that pip here is set to. Nothing is installed, and of wheels only the metadata is fetched."""
    wanted = [str(requirement) for name in extra.split(",") for requirement in EXTRAS[name]]
    resolve(wanted, tmp_path)


@pytest.mark.slow
def test_pip_resolves_the_gpu_extra_without_tensorrt(tmp_path):
    """Where the index has no libraries of TensorRT, the rest of it."""
    found = resolve([str(requirement) for requirement in EXTRAS["gpu"] if requirement.name != "tensorrt"], tmp_path)
    assert {"onnxruntime-gpu", "nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-ml-py"} <= set(found)


def resolve(wanted, folder):
    """Return the versions that pip would install, by name; skip the test where it cannot know."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-input"]
    try:
        done = subprocess.run(
            [*command, "--report", report, *wanted], capture_output=True, text=True, timeout=300, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("the index was too slow")
    said = done.stdout + done.stderr
    if done.returncode and PLACEHOLDER in said:
        pytest.skip("the index has no libraries of TensorRT")
    if done.returncode and "conflict" not in said and NO_INDEX.search(said):
        pytest.skip("the index cannot be reached, or lacks a package")
    assert done.returncode == 0, said[-2000:]
    found = {
        canonicalize_name(item["metadata"]["name"]): item["metadata"]["version"]
        for item in json.loads(report.read_text())["install"]
    }
    assert len(found.keys() & ONE_MODULE) <= 1
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.specifier.contains(found[canonicalize_name(requirement.name)])
    return found
