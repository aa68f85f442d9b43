"""A search for another machine: its finalists are measured there, in another process, and the winner chosen here."""

from __future__ import annotations

import json
import shutil

import pytest
from support.checks import check_schema, refusal
from support.other_machine import machine, on_machine
from support.small_data import SPACE
from support.small_search import model_of, write_given

import resnas_deploy as resnas
from resnas_deploy.searching.found import read_found
from resnas_deploy.searching.measured import read_measured
from resnas_deploy.weights.checkpoint import load

DEVICE, OTHER = "A device of its own", "Another device"
FEW = {"iterations": 2, "first": 6, "children": 4, "parents": 3, "finalists": 2, "tries": 4}


def device_model():
    """What a profile of the device would come to, by which everything takes long there."""
    return model_of(1e3, machine(DEVICE).slug)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A search for the device, as it ended here: with finalists that nobody has measured."""
    folder = tmp_path_factory.mktemp("elsewhere")
    return resnas.search(
        **write_given(folder),
        max_latency="80%",
        model=device_model(),
        out=folder / "found",
        **FEW,
    )


@pytest.fixture(scope="module")
def measured_there(made, tmp_path_factory):
    """A copy of the folder, measured on the device."""
    there = shutil.copytree(made.out, tmp_path_factory.mktemp("device") / "copied")
    done = on_machine(DEVICE, "search", "measure", there)
    assert done.returncode == 0, done.stderr
    assert f"next, where the search ran: resnas search finish {there}" in done.stdout
    return there


@pytest.fixture
def found(made, measured_there, tmp_path):
    """The search's folder with the device's figures: a copy that a test may change."""
    shutil.copytree(made.out, tmp_path / "found")
    shutil.copy(measured_there / "measured.json", tmp_path / "found")
    return tmp_path / "found"


def changed(path, change):
    """Change a JSON document."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_the_search_stops_with_more_finalists_than_one_round(made):
    assert made.machine == machine(DEVICE).slug
    assert len(made.finalists) == FEW["tries"]
    assert [item.measurement for item in made.finalists] == [None] * FEW["tries"]
    message = refusal(lambda: made.best)
    assert f"must be measured on {made.machine} before one is chosen" in message
    assert "run `search.measure()` there, then `search.finish()` here" in message
    assert not (made.out / "arch.json").exists()
    assert "not measured" in (made.out / "report.html").read_text()


def test_the_document_names_each_artifact_by_its_digest(made):
    document = read_found(made.out)
    assert document.setting.machine == machine(DEVICE).slug
    assert [(item.artifact, item.digest) for item in document.finalists] == [
        (f"finalists/finalist{n}", item.artifact.digest) for n, item in enumerate(made.finalists, start=1)
    ]
    assert [item.candidate for item in document.finalists] == [item.candidate for item in made.finalists]
    check_schema("found", json.loads((made.out / "found.json").read_text()))
    check_schema("search", made.to_json())
    limit = 0.8 * device_model().predict([SPACE.widest().arch]).ms.item()
    assert [(item.figure, item.bound) for item in document.limits] == [("p50", pytest.approx(limit))]


def test_only_the_first_round_is_measured_where_one_keeps_the_limit(measured_there):
    document = read_found(measured_there)
    figures = read_measured(measured_there / "measured.json", document)
    check_schema("measured", json.loads((measured_there / "measured.json").read_text()))
    assert figures.setting.machine == machine(DEVICE).slug
    assert list(figures.by_digest) == [item.digest for item in (*document.finalists[:2], document.anchor)]
    assert {item.configuration.source for item in figures.by_digest.values()} == {
        "finalists/finalist1",
        "finalists/finalist2",
        "anchor",
    }


def test_the_winner_is_chosen_by_the_devices_figures(made, found, measured_there, capfd):
    done = resnas.search.finish(found)
    assert len(done.measured) == len(done.keeping) == 2
    assert done.best.candidate == max((item.candidate for item in done.measured), key=lambda item: item.rank)
    assert json.loads((found / "arch.json").read_text()) == done.best.checkpoint.arch.to_json()
    assert load(found / "checkpoint.safetensors").digest == done.best.checkpoint.digest
    assert len(done.evaluated.candidates) == len(made.evaluated.candidates)
    assert capfd.readouterr() == ("", "")
    (found / "measured.json").unlink()
    again = resnas.search.finish(found, measured=measured_there / "measured.json")
    assert again.best.candidate == done.best.candidate
    assert (found / "measured.json").read_bytes() == (measured_there / "measured.json").read_bytes()


@pytest.mark.slow
def test_what_is_measured_is_not_measured_again_unless_it_is_to_be(measured_there):
    before = (measured_there / "measured.json").read_bytes()
    assert on_machine(DEVICE, "search", "measure", measured_there).returncode == 0
    assert (measured_there / "measured.json").read_bytes() == before
    assert on_machine(DEVICE, "search", "measure", measured_there, "--force").returncode == 0
    assert (measured_there / "measured.json").read_bytes() != before


def test_another_machine_measures_nothing(made, tmp_path):
    there = shutil.copytree(made.out, tmp_path / "copied")
    done = on_machine(OTHER, "search", "measure", there)
    assert done.returncode == 2
    assert (
        f"found another here: machine {machine(OTHER).slug}, not {machine(DEVICE).slug}; measure where" in done.stderr
    )
    assert len(done.stderr.splitlines()) == 1
    assert not (there / "measured.json").exists()


def test_figures_of_another_machine_are_refused(found):
    changed(found / "measured.json", lambda document: document["setting"].update(machine=machine(OTHER).slug))
    message = refusal(lambda: resnas.search.finish(found))
    assert f"machine {machine(OTHER).slug}, not {machine(DEVICE).slug}" in message
    assert not (found / "arch.json").exists()


def wrong_batch(document):
    document["reports"][0]["measurements"][1]["configuration"]["batch"] = 8


def wrong_digest(document):
    document["reports"][0]["measurements"][1]["configuration"]["digest"] = "ab" * 32


def wrong_machine(document):
    document["reports"][0]["machine"]["cpu"] = OTHER


def one_missing(document):
    del document["reports"][0]["measurements"][1]


def no_time(document):
    document["reports"][0]["measurements"][1]["samples_s"][0][0] = 0.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (wrong_digest, "must be of the finalists in found.json, found figures of another artifact"),
        (wrong_batch, "must be of the setting ort-cpu"),
        (wrong_machine, "must be of one machine"),
        (one_missing, "must have the finalists up to one that keeps the limits, found none of finalists/finalist2"),
        (no_time, "must hold times of 1e-09 to 1e+09 s, found 0 of"),
        (lambda document: document.update(schema=9), "must have schema 1, found 9; use a newer resnas"),
        (lambda document: document.update(more=1), "has the unknown field 'more'"),
    ],
)
def test_figures_that_cannot_be_are_told(found, change, said):
    changed(found / "measured.json", change)
    assert said in refusal(lambda: resnas.search.finish(found))
    assert not (found / "arch.json").exists()


@pytest.mark.parametrize(
    ("name", "remedy"), [("measured.json", "; measure again by `search.measure()`"), ("found.json", "")]
)
def test_a_file_that_was_cut_is_told(found, name, remedy):
    content = (found / name).read_bytes()
    (found / name).write_bytes(content[: len(content) // 2])
    message = refusal(lambda: resnas.search.finish(found))
    assert f"{found / name} must be JSON, found something else (cut short?)" in message
    assert message.endswith(remedy)


def test_a_finalist_that_was_exchanged_is_told(found):
    for name in ("model.onnx", "weights.safetensors", "manifest.json"):
        shutil.copy(found / "finalists" / "finalist3" / name, found / "finalists" / "finalist1" / name)
    assert "must be the artifact that the search wrote" in refusal(lambda: resnas.search.finish(found))


def test_nothing_is_followed_out_of_the_folder(found, tmp_path):
    (found / "finalists" / "finalist1").rename(tmp_path / "outside")
    (found / "finalists" / "finalist1").symlink_to(tmp_path / "outside")
    assert "found a link out of it" in refusal(lambda: resnas.search.finish(found))
    changed(found / "found.json", lambda document: document["finalists"][0].update(artifact="../outside"))
    assert "artifact must be a folder in finalists/, found '../outside'" in refusal(lambda: resnas.search.finish(found))


def test_a_folder_without_figures_says_what_is_next(made):
    message = refusal(lambda: resnas.search.finish(made.out))
    assert "measured.json must be there, found none; measure again by `search.measure()`" in message
