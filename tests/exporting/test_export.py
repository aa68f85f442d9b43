"""The export as a whole: the same bytes for the same input, and what the artifact says of itself."""

from __future__ import annotations

import errno
import gc
import hashlib
import json
import os
import subprocess
import sys
import time
import weakref
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
import torch
from support.checks import refusal
from support.networks import golden_space, supernet_definitions, supernet_mini
from support.small_export import SMALL, request

from resnas_deploy.artifact import creating
from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, NotAvailable, StorageError
from resnas_deploy.exporting import export as pipeline
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.source import read_source
from resnas_deploy.network.module import build_model
from resnas_deploy.progress import silent
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.resize import resize


def test_two_exports_of_one_input_are_byte_identical(tmp_path):
    contents = []
    for name in ("first", "second"):
        wanted = request(tmp_path, out=tmp_path / name, verify_on=None)
        export(lambda: untrained(SMALL), wanted, silent)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {MODEL, WEIGHTS, MANIFEST}


def test_what_is_written_is_hashed_on_its_way(tmp_path, monkeypatch):
    """Each file once; nothing is read again for it, and what opens the artifact finds that the hashes are right."""
    hashed = []
    digest = creating.digest
    monkeypatch.setattr(creating, "digest", lambda descriptor: hashed.append(descriptor) or digest(descriptor))
    artifact = export(lambda: untrained(SMALL), request(tmp_path), silent)
    assert hashed == []
    assert open_artifact(artifact.folder).manifest == artifact.manifest
    for name in (MODEL, WEIGHTS):
        content = (artifact.folder / name).read_bytes()
        assert artifact.manifest.files[name] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("file", [MODEL, WEIGHTS])
def test_what_somebody_else_wrote_into_a_file_meanwhile_is_not_sealed(tmp_path, file):
    """A hash of what was read back would be that of the damage."""

    def damage(said):
        if said == "hashing the files":
            (path,) = tmp_path.glob(f".out.*/out/{file}")
            with path.open("r+b") as opened:
                opened.seek(-9, os.SEEK_END)
                opened.write(b"damaged")

    export(lambda: untrained(SMALL), request(tmp_path), damage)
    with pytest.raises(BadInput, match=f"{file} differs from the hash in manifest.json"):
        open_artifact(tmp_path / "out")


def test_the_order_in_which_threads_come_to_an_end_changes_nothing(tmp_path, monkeypatch):
    contents, aside, waits = [], pipeline.Aside, []

    def late(call):
        wait = waits.pop(0)
        return aside(lambda: time.sleep(wait) or call())

    monkeypatch.setattr(pipeline, "Aside", late)
    for delays in ((0, 0), (0.2, 0), (0, 0.2)):  # of the weights and of their digest
        waits.extend(delays)
        wanted = request(tmp_path, out=tmp_path / f"out{len(contents)}", verify_on=None)
        export(lambda: untrained(SMALL), wanted, silent)
        contents.append({path.name: path.read_bytes() for path in wanted.out.iterdir()})
    assert contents[0] == contents[1] == contents[2]


def test_weights_that_cannot_be_written_end_the_export(tmp_path, monkeypatch):
    """Beside the graph, which is whole by then."""

    def full(checkpoint, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pipeline, "write", full)
    with pytest.raises(StorageError, match=r"out cannot be written: No space left on device; free some space"):
        export(lambda: untrained(SMALL), request(tmp_path, verify_on=None), silent)
    assert not list(tmp_path.iterdir())


def test_what_the_manifest_says(tmp_path):
    told = []
    artifact = export(lambda: untrained(SMALL, seed=5), request(tmp_path), told.append)
    manifest = open_artifact(artifact.folder).manifest
    assert manifest == artifact.manifest
    assert manifest.arch == SMALL
    assert manifest.batch == BatchRange(1, 8)
    assert manifest.provenance.history == ("untrained: random weights of seed 5",)
    assert manifest.label == "test fp32 112 (untrained weights)"
    assert manifest.weights_sha256 == untrained(SMALL, seed=5).digest
    assert manifest.preprocessing.image_size == 112
    assert manifest.preprocessing.resize == 128
    assert manifest.class_names is None
    assert "running the graph on ort-cpu" in told


def test_a_thousand_classes_are_imagenets_and_a_file_overrides(tmp_path):
    arch = replace(SMALL, classes=1000)
    artifact = export(lambda: untrained(arch), request(tmp_path, verify_on=None), silent)
    assert artifact.manifest.class_names[:2] == ("tench", "goldfish")
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"class {number}" for number in range(7)))
    other = request(tmp_path, out=tmp_path / "named", class_names=names, verify_on=None)
    assert export(lambda: untrained(SMALL), other, silent).manifest.class_names[6] == "class 6"


def test_weights_are_let_go_before_the_graph_is_verified(tmp_path):
    """Both in memory at once would cost the weights' size again."""
    references = []

    def load():
        checkpoint = untrained(SMALL)
        references.extend(weakref.ref(tensor) for tensor in checkpoint.tensors.values())
        return checkpoint

    def watch(step):
        if step.startswith("computing the reference"):
            alive.append([ref for ref in references if ref() is not None])

    alive = []
    gc.disable()  # nothing may hang on when it collects
    try:
        export(load, request(tmp_path), watch)
    finally:
        gc.enable()
    assert alive == [[]]


def test_higher_resolution_equals_the_resized_module(tmp_path):
    checkpoint = resize(untrained(SMALL), 168)
    artifact = export(lambda: checkpoint, request(tmp_path), silent)
    images = np.random.default_rng(0).standard_normal((2, 3, 168, 168), dtype=np.float32)
    session = ort.InferenceSession(artifact.model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    with torch.inference_mode():
        wanted = build_model(checkpoint)(torch.from_numpy(images)).numpy()
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert error <= 1e-5, f"largest difference {error:.1e}, tolerance 1e-05"


def test_torch_is_needed_to_verify_and_not_to_export(tmp_path, monkeypatch):
    find = pipeline.importlib.util.find_spec
    monkeypatch.setattr(pipeline.importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(NotAvailable, match=r"torch is not installed .*`unverified`.*pip install torch"):
        export(lambda: untrained(SMALL), request(tmp_path), silent)
    assert not list(tmp_path.iterdir())
    artifact = export(lambda: untrained(SMALL), request(tmp_path, verify_on=None), silent)
    assert artifact.manifest.verification is None
    assert "UNVERIFIED" in artifact.manifest.label


def test_a_runner_without_kernels_for_the_precision_is_refused_before_any_work(tmp_path):
    wanted = request(tmp_path, precision="bf16", verify_on=RUNNERS["ort-cpu"])
    with pytest.raises(BadInput, match=r"ort-cpu must have kernels for bf16, found only fp32, fp16"):
        export(lambda: pytest.fail("the weights were loaded"), wanted, silent)
    assert not list(tmp_path.iterdir())


def test_the_module_is_never_compared_with_itself(tmp_path):
    with pytest.raises(BadInput, match="found torch, which runs the weights"):
        export(lambda: pytest.fail("the weights were loaded"), request(tmp_path, verify_on=RUNNERS["torch"]), silent)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("data")
    for force in (False, True):
        with pytest.raises(BadInput, match="exists"):
            export(lambda: pytest.fail("the weights were loaded"), request(tmp_path, force=force), silent)
    assert (tmp_path / "out" / "precious").read_text() == "data"


WITHOUT = """
import sys
for name in ("torch", "onnxruntime", "openvino"):
    sys.modules[name] = None  # importing it now fails
sys.argv = ["resnas", "export", "--unverified", "--arch", sys.argv[1], "--out", sys.argv[2]]
from resnas_deploy.cli.app import main
main()
"""


def test_emitting_needs_neither_torch_nor_a_runtime(tmp_path):
    arch = tmp_path / "arch.json"
    arch.write_text(json.dumps(SMALL.to_json()))
    command = [sys.executable, "-c", WITHOUT, str(arch), str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert "NOT VERIFIED" in result.stdout
    assert open_artifact(tmp_path / "out").manifest.verification is None


def test_a_network_def_says_nothing_of_mixers():
    space, checkpoint = golden_space("mini"), supernet_mini()
    for mixers, refused in ((("pooled2", "global"), False), (("pooled2", "window2"), True), (("window4",), False)):
        own = replace(space, stages=(space.stages[0], replace(space.stages[1], mixers=mixers), space.stages[2]))
        mixed = replace(checkpoint, arch=own.widest().full, space=own)
        source = read_source(checkpoint=mixed, subnet=supernet_definitions()[1])
        if refused:
            assert "stage 2 of the supernet must have the mixer global" in refusal(source.load)
        else:
            assert source.load().arch.stages[1].blocks[0].mixer == "global"
