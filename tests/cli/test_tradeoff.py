"""`resnas tradeoff`, on a published network made small, and what it refuses."""

from __future__ import annotations

import shutil

import pytest
from support.checks import check_schema
from support.little_peers import LITTLE

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.tradeoff.result import read_tradeoff

QUICK = ("--networks", "pit-tiny", "--batch", "1", "--runs", "2", "--openings", "1", "--threads", "1")


@pytest.fixture
def little(monkeypatch):
    """PiT-Ti is a small network of its family."""
    monkeypatch.setattr("resnas_deploy.api.tradeoff.PEERS", {"pit-tiny": LITTLE["pit-tiny"]})


@pytest.mark.usefixtures("little")
def test_it_writes_the_document_the_page_and_the_picture_and_prints_the_table(resnas, mini_artifact, tmp_path):
    options = ("--out", "compared", *QUICK, "--artifact", mini_artifact, "--top1", "mini=81.25")
    done = resnas("tradeoff", *options)
    lines = done.out.splitlines()
    for name in ("tradeoff.json", "index.html", "tradeoff.svg"):
        assert f"written: compared/{name}" in lines
    (peer,) = (line.split() for line in lines if line.startswith("pit-tiny"))
    assert peer[1:4] == ["0.71", "4.8", "73.0"]
    assert "81.2, as the user gave it" in next(line for line in lines if line.startswith("mini"))
    assert "it was not measured here" in done.err
    found = read_tradeoff(tmp_path / "compared" / "tradeoff.json")
    assert [point.network for point in found.points] == ["pit-tiny", "mini"]
    text = (tmp_path / "compared" / "index.html").read_text()
    assert "published: PiT, arXiv 2103.16302" in text
    assert "given: the user" in text
    assert ">mini</text>" in (tmp_path / "compared" / "tradeoff.svg").read_text()
    again = resnas("tradeoff", *options, "--json")  # which measures nothing
    check_schema("tradeoff", again.json)
    assert again.json == found.to_json()
    told = resnas("tradeoff", *options, "--runs", "3", code=2).err
    wanted = "a comparison of something else than what is asked for (--runs 2 there, 3 here); choose another --out"
    assert wanted in told


@pytest.mark.usefixtures("little")
def test_an_artifact_that_is_called_as_a_published_network_and_given_twice(resnas, mini_artifact, tmp_path):
    shutil.copytree(mini_artifact, tmp_path / "pit-tiny")
    resnas("tradeoff", "--out", "compared", *QUICK, "--artifact", "pit-tiny", "--artifact", "pit-tiny")
    found = read_tradeoff(tmp_path / "compared" / "tradeoff.json")
    assert [point.network for point in found.points] == ["pit-tiny", "pit-tiny (2)"]
    (group,) = found.groups
    published, own = (item.configuration for item in group.measurements)
    assert (published.source, own.source) == ("pit-tiny", str(tmp_path / "pit-tiny"))
    assert own.digest == open_artifact(mini_artifact).digest != published.digest


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--networks", "small,vgg"], "--networks must be of tiny, small, medium, deit-tiny"),
        (["--runner", "tpu"], "--runner must be one of ort-cpu"),
        (["--precision", "int4"], "must have a --precision of fp32, fp16, bf16, int8, found 'int4'"),
        (["--precision", "bf16", "--runner", "ort-cpu"], "must have kernels for bf16"),
        (["--precision", ","], "there must be --precision and --batch"),
        (["--batch", "0"], "--batch must be batch sizes such as 1,16, found '0'"),
        (["--top1", "small=82"], "the name in --top1 must be that of an artifact that is measured too, found 'small'"),
        (["--top1", "82"], "--top1 must be a name and per cent"),
        (["--artifact", "nowhere"], "nowhere: an artifact must be"),
        (["--runs", "2"], "--runs must be at least as many as --openings, 3, found 2"),
        (["--device", "cuda:x"], "found 'cuda:x'"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(refused, options, said):
    assert said in refused("tradeoff", "--out", "compared", *options)


def test_a_folder_of_something_else_stays_as_it_is(refused, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    told = refused("tradeoff", "--out", "mine", *QUICK)
    assert "mine must be empty, or a comparison's, found notes.txt in it; choose another --out, or remove it" in told


def test_a_file_in_the_way(refused, tmp_path):
    (tmp_path / "file").write_text("kept")
    assert "file must be a folder, found a file" in refused("tradeoff", "--out", "file", *QUICK)
