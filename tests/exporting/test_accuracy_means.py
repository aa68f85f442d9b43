"""An accuracy that means nothing verifies nothing: other classes, chance, and far less than the checkpoint says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from support.checks import refusal
from support.places import DEMO
from support.small_export import request

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.manifest import Accuracy, Manifest
from resnas_deploy.data.demo import CLASS_NAMES, demo_images
from resnas_deploy.data.labelled import ImageSubset
from resnas_deploy.data.source import DataSet
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting.accuracy import compare_accuracy, labelled_data
from resnas_deploy.exporting.export import export, failed_name
from resnas_deploy.exporting.verify import verify
from resnas_deploy.progress import silent
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import MeasuredAccuracy, load, untrained

KIND = RUNNERS["ort-cpu"]


@cache
def weights():
    return load(DEMO)


def exported(folder, checkpoint=None, **changes):
    """An int8 export of the demo network, or of other weights."""
    usual = {"precision": "int8", "threads": 1, "calibration_images": 16}
    return export(lambda: checkpoint or weights(), request(folder, **usual | changes), silent)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """The demo network's, unverified. No test may change it."""
    return exported(tmp_path_factory.mktemp("demo"), verify_on=None)


@pytest.fixture(scope="module")
def nameless(tmp_path_factory):
    """The same network without names of its classes, as an import gives it."""
    plain = replace(weights(), task=None, accuracy=None)
    return exported(tmp_path_factory.mktemp("nameless"), plain, verify_on=None)


def folder_of(root, names, indices=range(100)):
    """Validation images of the built-in data in folders; `names` has a class's folder by its number."""
    images = demo_images()[1]
    for index in indices:
        path = root / "val" / names[int(images.labels[index])] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.image(int(index)).save(path)
    shutil.copytree(root / "val", root / "train")
    return str(root)


PLAIN = [name.replace("/", "-") for name in CLASS_NAMES]  # which sort in another order
NUMBERED = [f"{number}-{name}" for number, name in enumerate(PLAIN)]


# --- classes ---


def test_classes_in_another_order_are_refused_before_the_work(tmp_path, artifact):
    data = folder_of(tmp_path / "set", PLAIN)
    said = []
    message = refusal(lambda: verify(artifact, KIND, 1, said.append, data))
    assert "the network must be of the classes of `data`, found " in message
    assert "the same names in another order; put each class's number before its folder's name" in message
    assert said == []
    wanted = request(tmp_path, precision="int8", threads=1, data=data)
    assert refusal(lambda: export(weights, wanted, said.append)) == message
    assert "emitting the graph" not in said
    assert not (tmp_path / "out").exists()


def test_numbers_put_them_in_order(tmp_path, artifact):
    found = verify(artifact, KIND, 1, silent, folder_of(tmp_path / "set", NUMBERED), 5.0).accuracy
    assert found.images == 100
    assert found.reference > 75
    assert not found.problem


def test_other_classes_of_the_same_number_are_refused(tmp_path, artifact):
    data = folder_of(tmp_path / "set", [f"{number}-flower {number}" for number in range(10)])
    message = refusal(lambda: verify(artifact, KIND, 1, silent, data))
    assert "found 'T-shirt/top' where the data has 'flower 0' (class 0)" in message


def test_given_names_count_and_their_order_must_be_that_of_training(tmp_path):
    other = [f"{number} {name}" for number, name in enumerate("qwertyuiop")]
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in other))
    data = folder_of(tmp_path / "set", other)
    found = exported(tmp_path, data=data, max_drop=5.0, class_names=tmp_path / "names.txt")
    assert found.manifest.verification.accuracy.images == 100
    (tmp_path / "names.txt").write_text("".join(f"{name}\n" for name in sorted(CLASS_NAMES)))
    message = refusal(lambda: exported(tmp_path, force=True, class_names=tmp_path / "names.txt"))
    assert "must name the classes in the order of training" in message


# --- chance ---


@dataclass(frozen=True)
class Relabelled:
    """Images whose labels were changed."""

    whole: object
    order: tuple[int, ...]
    class_names: tuple[str, ...] = CLASS_NAMES

    @property
    def labels(self):
        return np.array(self.order)[self.whole.labels]

    @property
    def chunks(self):
        return self.whole.chunks

    def image(self, index):
        return self.whole.image(index)


def measured(artifact, images, max_drop=5.0):
    return compare_accuracy(artifact, KIND, DataSet("set", images, images), max_drop, 1, silent)


def some(indices):
    return ImageSubset(demo_images()[1], np.asarray(indices))


def of_class(number, count):
    return np.flatnonzero(demo_images()[1].labels == number)[:count]


def test_a_network_without_names_is_held_to_chance(tmp_path, nameless, caplog):
    """Without names nobody can tell that the classes are in another order, but for what comes out."""
    data = folder_of(tmp_path / "set", PLAIN)
    with pytest.raises(VerificationFailed) as caught:
        verify(nameless, KIND, 1, silent, data)
    message = str(caught.value)
    assert message.startswith("accuracy must be above chance to be compared, found top-1 ")
    assert "which shows nothing: the module itself is at chance, since always answering " in message
    assert "train the network, or give the data that it was trained for" in message
    assert not caught.value.report.passed
    assert "the network has no names of its classes: those of `data` are taken by number" in caplog.text


def test_what_fails_so_says_so_wherever_it_is_kept(tmp_path):
    plain = replace(weights(), task=None, accuracy=None)
    data = folder_of(tmp_path / "set", PLAIN)
    with pytest.raises(VerificationFailed):
        exported(tmp_path, plain, data=data, keep_failed=True)
    assert not (tmp_path / "out").exists()
    kept = open_artifact(failed_name(tmp_path / "out")).manifest
    assert "FAILED VERIFICATION" in kept.label
    assert kept.verification.accuracy.problem


def test_a_network_without_names_is_verified_where_the_order_is_right(tmp_path, nameless):
    data = folder_of(tmp_path / "set", NUMBERED)
    found = verify(nameless, KIND, 1, silent, data, 5.0)
    assert found.passed
    assert found.accuracy.reference > 60


def test_chance_is_the_most_frequent_classs_share(nameless):
    """In an order that leaves that class alone: three quarters right, of which nothing is known but one class."""
    indices = np.concatenate([of_class(8, 150), *(of_class(number, 8) for number in (0, 1, 2, 3, 4, 5))])
    order = (1, 2, 3, 4, 5, 0, 6, 7, 8, 9)
    found = measured(nameless, Relabelled(some(indices), order))
    assert found.reference > 65
    assert "always answering 'bag' gets 75.76 % right" in found.problem
    rightly = measured(nameless, some(indices))
    assert not rightly.problem


def test_few_images_that_are_right_cannot_be_told_from_chance(nameless):
    few = measured(nameless, some(np.concatenate([of_class(8, 30), of_class(1, 9)])))
    assert few.reference > 90
    said = "the module cannot be told from chance, since always answering 'bag' gets 76.92 % right; give more images"
    assert said in few.problem
    assert not measured(nameless, some(np.concatenate([of_class(8, 30), of_class(1, 30)]))).problem


def test_two_classes_that_were_exchanged_are_seen_without_names(nameless):
    """Though most is right."""
    order = (0, 9, 2, 3, 4, 5, 6, 7, 8, 1)
    found = measured(nameless, Relabelled(some(range(300)), order))
    assert found.reference > 55
    assert "are mostly taken for" in found.problem
    assert {"trouser", "ankle boot"} == {name for name in CLASS_NAMES if repr(name) in found.problem}


def test_far_below_what_the_checkpoint_says_of_itself(artifact):
    """Nearly half of the labels wrong, none of them in a ring: far above chance, and far below what it says."""
    rng = np.random.default_rng(0)
    whole = some(range(300))

    @dataclass(frozen=True)
    class Mislabelled(Relabelled):
        @property
        def labels(self):
            wrong = rng_mask
            return np.where(wrong, (self.whole.labels + 1 + np.arange(len(wrong)) % 9) % 10, self.whole.labels)

    rng_mask = rng.random(300) < 0.4
    found = measured(artifact, Mislabelled(whole, tuple(range(10))))
    assert 40 < found.reference < 65
    said = f"{100 * weights().accuracy.top1:.2f} %"
    assert f"the checkpoint says {said} of itself, on 2000 images of demo, and the module is far below" in found.problem
    assert not measured(artifact, whole).problem


def test_what_a_checkpoint_does_not_say_is_not_missed(tmp_path):
    plain = exported(tmp_path, replace(weights(), accuracy=None), verify_on=None)
    assert not measured(plain, some(range(200))).problem
    modest = exported(
        tmp_path, replace(weights(), accuracy=MeasuredAccuracy("demo", 9, 0.2)), verify_on=None, force=True
    )
    assert not measured(modest, some(range(200))).problem


def test_a_graph_at_chance_fails_whatever_may_be_lost(tmp_path, artifact):
    random = exported(tmp_path, untrained(weights().arch), verify_on=None)
    shutil.copy(artifact.weights, random.weights)
    found = measured(random, some(range(200)), max_drop=100.0)
    assert found.drop > 50
    assert "the graph is at chance" in found.problem
    assert not measured(random, some(range(200)), max_drop=1.0).problem  # which says enough


@pytest.mark.usefixtures("few_images")
def test_the_built_in_data_is_held_to_chance_too(tmp_path):
    """A network that says it was trained, and was not."""
    random = replace(untrained(weights().arch), provenance=weights().provenance, task=weights().task)
    with pytest.raises(VerificationFailed, match="the module itself is at chance"):
        exported(tmp_path, random)


# --- refused before the work ---


def test_untrained_weights_have_no_accuracy(tmp_path):
    random = untrained(weights().arch)
    message = refusal(lambda: exported(tmp_path, random, data="demo"))
    assert message == (
        "`data` must come with trained weights, found untrained ones, whose accuracy is chance: leave `data` out, or "
        "give the `checkpoint` of a network that was trained"
    )
    named = replace(random, task=weights().task)
    assert exported(tmp_path, named).manifest.verification.accuracy is None


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        (lambda: of_class(3, 50), "found 0 beside 50 of 'dress'"),
        (lambda: np.r_[of_class(3, 50), of_class(4, 9)], "found 9 beside 50 of 'dress'"),
        (lambda: np.arange(10), "found "),
    ],
    ids=["one class", "nearly", "ten images"],
)
def test_images_that_can_show_nothing(monkeypatch, artifact, indices, said):
    data = DataSet("set", demo_images()[0], some(indices()))
    monkeypatch.setattr("resnas_deploy.exporting.accuracy.open_data", lambda _: data)
    message = refusal(lambda: labelled_data("set", artifact.manifest, weights().task))
    assert message.startswith("the validation split of set must have at least 10 images of other classes than its most")
    assert said in message


# --- the manifest ---


def test_a_manifest_of_before_is_read_and_one_with_a_problem_keeps_it(artifact):
    figures = Accuracy("demo", 300, 11.0, 11.0, 0.5)
    from resnas_deploy.artifact.manifest import Verification

    found = Verification("torch", "ort", 0.1, 0.0, (1,), 12, (), 12, 0, figures)
    for accuracy, passed in ((figures, True), (replace(figures, problem="chance"), False)):
        manifest = replace(artifact.manifest, verification=replace(found, accuracy=accuracy))
        again = Manifest.from_bytes(manifest.to_bytes())
        assert again == manifest
        assert (b'"problem"' in manifest.to_bytes()) != passed  # the bytes of a manifest of before stay what they were
        assert again.verification.passed == passed
        assert ("FAILED VERIFICATION" in again.label) != passed
