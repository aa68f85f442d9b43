"""Predictions one by one: as a runner gives them, in order, any number of them, with what could not be read."""

from __future__ import annotations

import csv
import gc
import io
import json
import threading
from dataclasses import replace
from itertools import count, islice
from types import SimpleNamespace

import numpy as np
import pytest
from support.checks import refusal
from support.places import GOLDEN
from support.small_export import SMALL

import resnas_deploy as resnas
from resnas_deploy.api.predicting import USUAL_CPU, _Sizes
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import preprocess
from resnas_deploy.progress import Counted
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.classify import guesses, softmax
from resnas_deploy.runners.devices import gpus
from resnas_deploy.runners.registry import RUNNERS

FILES = sorted((GOLDEN / "images").glob("*.jpg"))
OTHERS = ("openvino", "torch")
MANY = [FILES[number % len(FILES)] for number in range(21)]


@pytest.fixture(scope="module")
def artifact(mini_artifact):
    return resnas.open(mini_artifact)


def as_before(artifact, paths, runner):
    """What `predict` gave before it ran batches: an image at a time, and all shares sorted."""
    found = []
    with RUNNERS[runner].open(artifact, Options(1)) as network:
        for path in paths:
            image = preprocess(load_image(path), artifact.manifest.preprocessing)
            shares = softmax(network.run(image[None])[OUTPUT][0].astype(np.float64))
            found.append([(int(number), float(shares[number])) for number in np.argsort(-shares, kind="stable")[:5]])
    return found


def numbers(predictions):
    return [[(guess.number, guess.probability) for guess in prediction.top] for prediction in predictions]


@pytest.mark.parametrize("runner", ["ort-cpu", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_batches_change_no_class_and_no_more_than_rounding(artifact, runner):
    """Of one image at a time not even that."""
    wanted = as_before(artifact, FILES, runner)
    alone = resnas.predict(artifact, FILES, runner=runner, batch=1, threads=1)
    assert numbers(alone.images) == wanted
    assert numbers(resnas.predict(artifact, FILES[0], runner=runner, threads=1).images) == wanted[:1]
    for batch in (None, 4):
        found = numbers(resnas.predict(artifact, MANY, runner=runner, batch=batch, threads=1).images)
        assert len(found) == len(MANY)
        for number, tops in enumerate(found):
            usual = wanted[number % len(FILES)]
            assert [place for place, _ in tops] == [place for place, _ in usual]
            assert [share for _, share in tops] == pytest.approx([share for _, share in usual], rel=1e-5)


def test_they_come_as_names_do_without_an_end(artifact):
    taken = []

    def names():
        for number in count():
            taken.append(number)
            yield str(FILES[number % len(FILES)])

    with artifact.predictions(names(), batch=4, threads=1, top=1) as found:
        first = list(islice(found, 10))
        assert (found.label, found.trained, found.runner, found.batch) == ("mini fp32 112", True, "ort-cpu", 4)
        assert [prediction.image for prediction in first] == MANY[:10]
        assert len(taken) <= 10 + 2 * 4 + 4 + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]
    assert list(found) == []


def test_what_cannot_be_read_comes_in_its_place(artifact, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"hello")
    (tmp_path / "list").write_text(f"{FILES[1]}\n{tmp_path / 'nothing.jpg'}\n")
    given = [FILES[0], tmp_path / "bad.jpg", f"@{tmp_path / 'list'}", str(tmp_path / "*.tif"), FILES[2]]
    with resnas.predictions(artifact, given, threads=1) as found:
        first, bad, second, nothing, pattern, third = found
    assert [each.image for each in (first, second, third)] == FILES[:3]
    assert [each.top for each in (bad, nothing, pattern)] == [(), (), ()]
    for each, words in ((bad, "bad.jpg' must be an image"), (nothing, "no such file"), (pattern, "or match some")):
        assert words in each.error
    whole = resnas.predict(artifact, given, threads=1)
    assert whole.images == (first, second, third)
    assert whole.errors == (bad.error, nothing.error, pattern.error)


def test_an_image_that_cannot_be_read_spoils_no_other(artifact, tmp_path):
    """A whole batch of them too."""
    nothing = tmp_path / "nothing"
    found = resnas.predict(artifact, [nothing, nothing, nothing, FILES[0], FILES[1]], batch=2, threads=1)
    usual = resnas.predict(artifact, FILES[:2], batch=2, threads=1)
    assert len(found.errors) == 3
    for one, other in zip(numbers(found.images), numbers(usual.images), strict=True):
        assert [place for place, _ in one] == [place for place, _ in other]


def test_nothing_is_left_of_one_that_is_forgotten(artifact):
    found = resnas.predictions(artifact, MANY, threads=1)
    next(found)
    del found
    gc.collect()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("images", "counting"))]


def test_how_far_it_is_is_told_with_the_whole_number_once_that_is_known(artifact, tmp_path):
    heard = []
    resnas.predict(artifact, MANY[:9], batch=3, threads=1, progress=heard.append)
    counted = [text for text in heard if isinstance(text, Counted)]
    assert [text.done for text in counted] == [3, 6, 9]
    assert {text.total for text in counted} <= {0, 9}
    assert counted[-1] == "classifying: 9/9 images"
    heard.clear()
    list(resnas.predictions(artifact, iter(MANY[:9]), threads=1, progress=heard.append))
    assert heard[-1] == "classifying: 9 images"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 9}, r"`batch` must lie in the range of .*, 1:8, found 9"),
        ({"batch": 0}, r"`batch` must be from 1 to 4096, found 0"),
        ({"images": 3}, r"`images` must be text or a path or several, each text or a path, found 3"),
        ({"images": [FILES[0], 3]}, r"`images` must be "),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_done(artifact, wrong, message):
    for function in (resnas.predict, resnas.predictions):
        with pytest.raises(resnas.BadInput, match=message):
            function(artifact, **{"images": FILES} | wrong)


def test_what_is_wrong_in_an_iterator_is_told_when_its_turn_comes(artifact):
    found = resnas.predictions(artifact, iter([FILES[0], 3]), threads=1)
    assert "each of what is given must be text or a path, found 3" in refusal(lambda: list(found))


class TestSizes:
    """How many rows are run for a batch that is not full."""

    @staticmethod
    def sizes(artifact, batch=None, least=1, most=8, profiles=(), kind=RUNNERS["ort-cpu"]):
        changed = replace(artifact, manifest=replace(artifact.manifest, batch=BatchRange(least, most)))
        made_of = {"target": kind.engine, "profiles": list(map(str, profiles))}
        engine = SimpleNamespace(made_of=made_of, path="x") if profiles else None
        return _Sizes(changed, kind, Options(1, engine=engine), batch)

    def test_on_a_cpu_no_more_than_there_are(self, artifact):
        assert self.sizes(artifact, most=64).usual == USUAL_CPU
        for least, most, usual, three in ((1, 8, 8, 3), (4, 64, 16, 4), (5, 5, 5, 5)):
            sizes = self.sizes(artifact, least=least, most=most)
            assert (sizes.usual, sizes.of(sizes.usual), sizes.of(3), sizes.of(3)) == (usual, usual, three, three)

    def test_on_a_gpu_what_was_run_before(self, artifact):
        sizes = self.sizes(artifact, most=128, kind=RUNNERS["ort-cuda"])
        assert (sizes.usual, sizes.of(64), sizes.of(3)) == (64, 64, 64)
        assert self.sizes(artifact, most=128, kind=RUNNERS["ort-cuda"]).of(3) == 3

    @pytest.mark.parametrize(
        ("profiles", "batch", "usual", "three"),
        [
            ([BatchProfile(1, 8, 8)], None, 8, 3),
            ([BatchProfile(1, 1, 1)], None, 1, None),
            ([BatchProfile(1, 1, 1), BatchProfile(8, 64, 64)], None, 64, 8),
            ([BatchProfile(2, 2, 2), BatchProfile(4, 4, 4)], None, 4, 4),
            ([BatchProfile(2, 2, 2), BatchProfile(8, 8, 8)], 8, 8, 8),
        ],
    )
    def test_of_an_engine_what_a_profile_of_it_holds(self, artifact, profiles, batch, usual, three):
        kind = RUNNERS["tensorrt"]
        sizes = self.sizes(artifact, batch=batch, profiles=profiles, kind=kind)
        assert sizes.usual == usual
        if three:
            assert sizes.of(3) == three

    def test_a_batch_that_no_profile_holds(self, artifact):
        with pytest.raises(resnas.BadInput, match=r"must lie in a profile of it, 1:8:8, found 9"):
            self.sizes(artifact, batch=9, profiles=[BatchProfile(1, 8, 8)], kind=RUNNERS["tensorrt"])


def test_artifacts_of_one_batch_size(tmp_path):
    fixed = resnas.export(SMALL, tmp_path / "fixed", batch="3", unverified=True)
    ranged = resnas.export(SMALL, tmp_path / "ranged", batch="1:8", unverified=True)
    for images in (MANY[:1], MANY[:3], MANY[:4]):
        one, other = (numbers(resnas.predict(each, images, threads=1).images) for each in (fixed, ranged))
        assert [[place for place, _ in top[:2]] for top in one] == [[place for place, _ in top[:2]] for top in other]
    assert "`batch` must lie in the range of" in refusal(lambda: resnas.predict(fixed, MANY, batch=1))


@pytest.mark.parametrize("top", [1, 4, 10, 20])
def test_the_likeliest_are_those_of_all_sorted_also_of_equal_ones(top):
    rng = np.random.default_rng(0)
    logits = rng.integers(-3, 3, (50, 10)).astype(np.float32)
    for found, row in zip(guesses(logits, top, None), softmax(logits.astype(np.float64)), strict=True):
        assert [guess.number for guess in found] == np.argsort(-row, kind="stable")[:top].tolist()
    logits[7, 3] = np.nan
    assert [found is None for found in guesses(logits, top, None)] == [number == 7 for number in range(50)]


def test_saving(artifact, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"hello")
    found = resnas.predict(artifact, [*FILES[:2], tmp_path / "bad.jpg"], top=3, threads=1)
    for name in ("a.csv", "a.jsonl", "a.JSON"):
        found.save(tmp_path / name)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [(row["image"], int(row["rank"])) for row in rows] == [
        (str(path), rank) for path in FILES[:2] for rank in (1, 2, 3)
    ]
    assert [float(row["probability"]) for row in rows] == [
        guess.probability for each in found.images for guess in each.top
    ]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines == [each.to_json() for each in found.images]
    assert json.loads((tmp_path / "a.JSON").read_text()) == found.to_json()
    assert "exists" in refusal(lambda: found.save(tmp_path / "a.csv"))
    assert "`out` must end in .csv, .jsonl or .json, found 'a.txt'" in refusal(lambda: found.save(tmp_path / "a.txt"))
    assert open_artifact(artifact.folder).manifest == artifact.manifest


@pytest.mark.gpu
@pytest.mark.skipif(not gpus(), reason="no NVIDIA GPU is here")
@pytest.mark.parametrize("runner", ["ort-cuda", "torch", "tensorrt", "tensorrt-rtx"])
def test_on_a_gpu_the_same_classes_in_batches_of_its_own(artifact_copy, runner):
    """More images than a batch has, and no whole number of them."""
    if RUNNERS[runner].problem("cuda"):
        pytest.skip(f"{runner} cannot run here")
    copied = resnas.open(artifact_copy)  # an engine is built into it
    wanted = numbers(resnas.predict(copied, FILES, runner="ort-cpu").images)
    found = numbers(resnas.predict(copied, MANY * 4, runner=runner, device="cuda", top=1).images)
    assert [tops[0][0] for tops in found] == [wanted[n % len(MANY) % len(FILES)][0][0] for n in range(4 * len(MANY))]
