"""Repositories hold what the artifacts say, and versions are added, never overwritten."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import replace

import pytest
from support.checks import refusal
from support.networks import mini
from support.repository_findings import findings
from support.small_export import request

from resnas_deploy.artifact.artifact import MANIFEST, MODEL, open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.serving.repository.batching import Batching, batching_for
from resnas_deploy.serving.repository.config import parse
from resnas_deploy.serving.repository.contents import COPIED_MODULES, add_model
from resnas_deploy.serving.repository.insertion import versions_of
from resnas_deploy.serving.repository.settings import ModelSettings


def test_the_configuration_is_the_artifacts(models, mini_artifact):
    config = parse((models / "mini" / "config.pbtxt").read_text(), "config")
    arch = open_artifact(mini_artifact).arch
    assert (config.name, config.backend, config.max_batch_size) == ("mini", "python", 8)
    assert [(tensor.name, list(tensor.dims)) for tensor in config.input] == [("images", [3, 112, 112])]
    assert [(tensor.name, list(tensor.dims)) for tensor in config.output] == [("logits", [arch.classes])]
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert config.dynamic_batching.max_queue_delay_microseconds == 20_000
    assert [warm.batch_size for warm in config.model_warmup] == [1, 8]
    assert findings(models) == []


def test_versions_are_added(models, mini_artifact):
    before = (models / "mini" / "1" / MODEL).stat()
    (written,) = add_model(models, open_artifact(mini_artifact), ModelSettings("mini"))
    assert (written.version, written.is_new) == (2, True)
    assert versions_of(models / "mini") == [1, 2]
    assert (models / "mini" / "1" / MODEL).stat() == before
    assert findings(models) == []
    assert {path.name for path in models.parent.iterdir()} == {"models"}
    assert {path.name for path in models.iterdir()} == {"mini", "mini_jpeg", "mini_preprocess"}


def test_the_largest_batch_is_one_that_every_version_takes(models, tmp_path):
    narrow = export(
        mini,
        replace(request(tmp_path), out=tmp_path / "narrow", batch=BatchRange(1, 2), verify_on=None),
        lambda _: None,
    )
    add_model(models, narrow, ModelSettings("mini"), ensemble=True)
    for name in ("mini", "mini_jpeg", "mini_preprocess"):
        assert parse((models / name / "config.pbtxt").read_text(), name).max_batch_size == 2
    assert findings(models) == []


def test_another_network_under_the_same_name_is_refused(models, tmp_path):
    other = export(
        mini,
        replace(request(tmp_path), out=tmp_path / "other", verify_on=None, class_names=_names(tmp_path)),
        lambda _: None,
    )
    line = refusal(lambda: add_model(models, other, ModelSettings("mini")))
    assert "give this one another `name`" in line
    assert versions_of(models / "mini") == [1]


def _names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("".join(f"class {number}\n" for number in range(10)))
    return path


def test_a_network_for_larger_batches_alone_is_refused(tmp_path):
    fixed = export(
        mini, replace(request(tmp_path), out=tmp_path / "a", batch=BatchRange(4, 4), verify_on=None), lambda _: None
    )
    line = refusal(lambda: add_model(tmp_path / "models", fixed, ModelSettings("mini")))
    assert "must take single images, found one for batches of 4" in line
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a/b"}, "a model's name must be"),
        ({"name": ".."}, "a model's name must be"),
        ({"name": "a", "backend": "pytorch"}, "a backend must be one of"),
        ({"name": "a", "accelerator": "tensorrt"}, "must come with the backend onnxruntime"),
        ({"name": "a", "backend": "onnxruntime", "accelerator": "cuda"}, "must run on a GPU"),
        ({"name": "a", "backend": "tensorrt"}, "must run on a GPU"),
        ({"name": "a", "versions": "newest"}, "the versions to serve must be"),
    ],
)
def test_what_triton_would_refuse_or_ignore(options, said):
    assert said in refusal(lambda: ModelSettings(**options))


def test_a_file_that_cannot_be_written_leaves_the_repository_as_it_was(models, mini_artifact):
    """A limit of the operating system on the size of files, whose error says no more than a full disk's."""
    before = sorted(models.rglob("*"))
    program = (
        "import resource, signal, sys; import resnas_deploy as resnas; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); resnas.triton.export(*sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, mini_artifact, models], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert "File too large" in line
    assert str(models / "mini" / "2") in line
    assert sorted(models.rglob("*")) == before


SLOW = """
import shutil, sys, time
from pathlib import Path
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.serving.repository.contents import COPIED_MODULES, add_model
from resnas_deploy.serving.repository.settings import ModelSettings

def write(path, content):
    with path.open("wb") as here:
        here.write(content[:1000])
        here.flush()
        if path.name == sys.argv[3]:
            print("copying", flush=True)
            time.sleep(60)
        here.write(content[1000:])

def copy(source, target):
    write(Path(target), Path(source).read_bytes())

Path.write_bytes = write
shutil.copyfile = copy
add_model(Path(sys.argv[1]), open_artifact(Path(sys.argv[2])), ModelSettings("mini"), ensemble=True)
"""


@pytest.mark.parametrize("file", [MODEL, MANIFEST])
@pytest.mark.parametrize("is_new", [True, False])
def test_a_killed_export_leaves_nothing_that_a_server_would_take(repository, mini_artifact, tmp_path, file, is_new):
    models = tmp_path / "models"
    if not is_new:
        shutil.copytree(repository, models)
    with subprocess.Popen([sys.executable, "-c", SLOW, models, mini_artifact, file], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"copying\n"
        process.kill()
    assert versions_of(models / "mini") == ([] if is_new else [1])
    assert {path.name for path in models.iterdir()} <= {"mini", "mini_jpeg", "mini_preprocess"}
    if is_new:
        assert list(models.iterdir()) == []
    else:
        assert findings(models) == []
    add_model(models, open_artifact(mini_artifact), ModelSettings("mini"), ensemble=True)
    assert versions_of(models / "mini") == ([1] if is_new else [1, 2])
    assert findings(models) == []


def test_batches_follow_from_latencies_and_a_limit():
    measured = {1: 10.0, 2: 14.0, 4: 20.0, 8: 36.0, 16: 71.0}
    assert batching_for(measured, 16, 100) == Batching((2, 4, 8), 28_000)  # 16 takes too long; 8 gains 11% over 4
    assert batching_for(measured, 16, 1000).preferred[-1] == 8  # 16 gains 1% over it
    assert batching_for(measured, 4, 100) == Batching((2, 4), 60_000)
    assert batching_for(measured, 16, 20) == Batching((), 0)
    assert "room for two batches in a row, found 19 ms" in refusal(lambda: batching_for(measured, 16, 19))


def test_the_manifest_is_the_artifacts(models, mini_artifact):
    assert (models / "mini" / "1" / MANIFEST).read_bytes() == (mini_artifact / MANIFEST).read_bytes()
    assert json.loads((models / "mini_preprocess" / "1" / "preprocessing.json").read_text())["image_size"] == 112


ALONE = """
import sys
sys.path += sys.argv[1:]  # without the links to this package that are beside the others
from resnas_deploy import errors
from resnas_deploy.images import decode, preprocessing
print(*sorted(module.__file__ for name, module in sys.modules.items() if name.startswith("resnas_deploy")), sep="\\n")
"""


def test_what_is_copied_imports_nothing_else_of_ours(models):
    """It runs in a server's Python, where this package is not: a module that needs another one must be copied too."""
    version = models / "mini_preprocess" / "1"
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", ALONE, version, sysconfig.get_path("purelib")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"import it elsewhere, or add it to COPIED_MODULES: {done.stderr}"
    assert done.stdout.splitlines() == sorted(str(version / "resnas_deploy" / name) for name in COPIED_MODULES)
