"""Top-1 of a quantised graph against its module's: counted right, and a drop that is too large is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from support.checks import refusal
from support.places import DEMO
from support.small_export import SMALL, request

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.data.demo import CLASS_NAMES, demo_images
from resnas_deploy.data.labelled import ImageSubset
from resnas_deploy.data.source import DataSet, open_data
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting import accuracy
from resnas_deploy.exporting.accuracy import MOST_IMAGES, compare_accuracy
from resnas_deploy.exporting.export import export, failed_name
from resnas_deploy.exporting.unchanged import unchanged
from resnas_deploy.exporting.verify import verify
from resnas_deploy.images.preprocessing import preprocess
from resnas_deploy.network.module import build_model
from resnas_deploy.precision import NOT_FINITE
from resnas_deploy.progress import silent
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import Provenance, load, untrained


def demo(folder, **changes):
    """One thread: two of torch's wait for each other in turns while other processes have the cores."""
    return export(lambda: load(DEMO), request(folder, **{"precision": "int8", "threads": 1} | changes), silent)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """A function: the unverified int8 artifact of the demo network with that batch range."""
    made = {}

    def make(batch):
        if batch not in made:
            folder = tmp_path_factory.mktemp("demo")
            made[batch] = demo(folder, batch=batch, verify_on=None)
        return made[batch]

    return make


def trained(arch):
    """Random weights that say they were trained."""
    return replace(untrained(arch), provenance=Provenance(True, ("trained elsewhere",)))


def folder_of(root, images, indices):
    """The images as a data set in a folder, both splits the same."""
    for index in indices:
        name = f"{int(images.labels[index])}-{CLASS_NAMES[images.labels[index]].replace('/', ' ')}"
        path = root / "val" / name / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.image(int(index)).save(path)
    shutil.copytree(root / "val", root / "train")
    return root


def test_the_demo_network_loses_little(tmp_path):
    found = demo(tmp_path).manifest.verification
    assert found.passed
    assert found.accuracy.data == "demo"
    assert found.accuracy.images == MOST_IMAGES
    assert found.accuracy.reference > 85
    assert abs(found.accuracy.drop) <= 0.5
    assert found.accuracy.max_drop == 0.5
    assert next(iter(found.element_errors)) == "stem"
    assert list(found.element_errors)[-1] == "head"
    assert len(found.element_errors) == 1 + 7 + 2 + 1
    assert all(0 < error < 1 for error in found.element_errors.values())
    assert open_artifact(tmp_path / "out").manifest.verification == found


@pytest.mark.parametrize("batch", [BatchRange(1, 8), BatchRange(3, 3), BatchRange(20, 40)], ids=str)
def test_it_is_what_a_plain_loop_counts(artifacts, batch):
    """53 images fill no batch, the last one's least of all."""
    artifact = artifacts(batch)
    whole = demo_images()[1]
    data = DataSet("part", whole, ImageSubset(whole, np.arange(100, 153)))
    told = []
    found = compare_accuracy(artifact, RUNNERS["ort-cpu"], data, 1.0, 1, told.append)
    preprocessing = artifact.manifest.preprocessing
    module = build_model(load(artifact.weights))
    session = ort.InferenceSession(artifact.model, providers=["CPUExecutionProvider"])
    right = np.zeros(2, int)
    for index in range(100, 153):
        image = preprocess(whole.image(index), preprocessing)[None]
        with torch.inference_mode():
            wanted = module(torch.from_numpy(image)).numpy()[0]
        logits = session.run(None, {"images": np.repeat(image, batch.least, axis=0)})[0][0]
        right += [wanted.argmax() == whole.labels[index], logits.argmax() == whole.labels[index]]
    assert (found.reference, found.graph) == pytest.approx(tuple(100 * right / 53))
    assert 0 < right[0] < 53
    assert (found.data, found.images, found.max_drop) == ("part", 53, 1.0)
    assert len(told) == -(-53 // max(batch.least, min(batch.most, 16)))


def test_the_sample_of_many_images_is_the_same_in_every_run(artifacts, monkeypatch):
    monkeypatch.setattr(accuracy, "MOST_IMAGES", 40)
    seen = []
    prepared = accuracy.prepared

    def noting(indices, image, *how, **options):
        indices = list(indices)
        seen.extend(image(index).tobytes() for index in indices)
        return prepared(indices, image, *how, **options)

    monkeypatch.setattr(accuracy, "prepared", noting)
    runs = []
    for _ in range(2):
        seen.clear()
        found = compare_accuracy(artifacts(BatchRange(1, 8)), RUNNERS["ort-cpu"], open_data("demo"), 1.0, 1, silent)
        runs.append((found, list(seen)))
    assert runs[0] == runs[1]
    assert runs[0][0].images == len(set(runs[0][1])) == 40
    first = [demo_images()[1].image(index).tobytes() for index in range(40)]
    assert runs[0][1] != first


@pytest.mark.usefixtures("few_images")
@pytest.mark.parametrize("spoil", ["zeros", "small"])
def test_a_spoiled_graph_is_refused_and_leaves_nothing(tmp_path, spoil):
    images = np.random.default_rng(0).standard_normal((8, 3, 32, 32), dtype=np.float32)
    np.save(tmp_path / "images.npy", images * {"zeros": 0, "small": 1e-3}[spoil])
    wanted = {"calibration": tmp_path / "images.npy", "calibration_images": 8, "max_drop": 0.0, "fallback_minutes": 0}
    with pytest.raises(VerificationFailed) as caught:
        demo(tmp_path, **wanted)
    report = caught.value.report
    assert not report.passed
    assert report.accuracy.drop > 5
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]


@pytest.mark.usefixtures("few_images")
def test_accuracy_alone_fails_an_export(tmp_path, monkeypatch):
    """Whatever the logits' error is, and with the remedy."""
    for where in ("verify", "arithmetic.check"):
        monkeypatch.setattr(f"resnas_deploy.exporting.{where}.tolerance_of", lambda _: NOT_FINITE / 10)
    images = np.random.default_rng(0).standard_normal((8, 3, 32, 32), dtype=np.float32)
    np.save(tmp_path / "images.npy", images * 1e-3)
    wanted = {
        "calibration": tmp_path / "images.npy",
        "calibration_images": 8,
        "keep_failed": True,
        "fallback_minutes": 0,
    }
    with pytest.raises(VerificationFailed, match=r"as accurate as the module, .* `calibration` images, .*`max_drop`"):
        demo(tmp_path, **wanted)
    kept = open_artifact(failed_name(tmp_path / "out"))
    assert "FAILED VERIFICATION" in kept.manifest.label
    assert kept.manifest.verification.accuracy.drop > 0.5


def test_another_number_of_classes_is_refused(tmp_path, artifacts):
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(tmp_path / split / name / "x.png")
    kind, artifact = RUNNERS["ort-cpu"], artifacts(BatchRange(1, 8))
    message = refusal(lambda: verify(artifact, kind, 1, silent, str(tmp_path)))
    assert "the network must tell the 2 classes of `data` apart, found one for 10" in message
    said = []
    message = refusal(
        lambda: export(lambda: trained(SMALL), request(tmp_path, precision="int8", data="demo"), said.append)
    )
    assert "the network must tell the 10 classes of `data` apart, found one for 7" in message
    assert "emitting the graph" not in said  # refused before the work
    assert not (tmp_path / "out").exists()


def test_a_folder_of_labelled_images(tmp_path, artifacts):
    root = folder_of(tmp_path / "set", demo_images()[1], range(60))
    found = verify(artifacts(BatchRange(1, 8)), RUNNERS["ort-cpu"], 1, silent, str(root), 5.0).accuracy
    assert (found.data, found.images, found.max_drop) == ("set", 60, 5.0)
    whole = demo_images()[1]
    same = compare_accuracy(
        artifacts(BatchRange(1, 8)),
        RUNNERS["ort-cpu"],
        DataSet("set", whole, ImageSubset(whole, np.arange(60))),
        5.0,
        1,
        silent,
    )
    assert found == same


@pytest.mark.usefixtures("few_images")
def test_an_artifact_stays_only_where_it_is_as_accurate_as_asked_now(tmp_path):
    """What `export --target` finds there is taken as it is, if its accuracy was measured on the same data."""
    first = demo(tmp_path)
    accuracy = first.manifest.verification.accuracy

    def there(**changes):
        return unchanged(lambda: load(DEMO), request(tmp_path, precision="int8", threads=1, **changes), silent)

    assert there() == there(data="demo") == there(max_drop=accuracy.drop) == first
    assert there(data="elsewhere/other") is None
    assert there(max_drop=accuracy.drop - 0.1) is None
    assert there(calibration_images=64) is None


def test_a_network_of_other_classes_has_no_accuracy(tmp_path):
    found = export(lambda: untrained(SMALL), request(tmp_path, precision="int8"), silent).manifest
    assert found.verification.accuracy is None
    assert found.label == "test int8 112 (untrained weights, accuracy not measured)"


@pytest.mark.parametrize("changes", [{"data": "demo"}, {"max_drop": 1.0}])
def test_what_would_be_ignored_is_refused(tmp_path, changes, mini_artifact):
    option = f"`{next(iter(changes))}`"
    assert f"{option} must come with int8 or fp8, found `precision` fp32" in refusal(
        lambda: request(tmp_path, **changes)
    )
    line = refusal(lambda: verify(open_artifact(mini_artifact), RUNNERS["ort-cpu"], 1, silent, **changes))
    assert "accuracy is compared for int8 and fp8, found fp32" in line
    unverified = {"precision": "int8", "verify_on": None, "data": "demo"}
    assert "leave `data` or `unverified` out" in refusal(lambda: request(tmp_path, **unverified))
