"""`resnas predict` on many images: the forms that it gives, files, readers that go away, and Ctrl-C in the middle."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from support.places import GOLDEN, ROOT
from support.processes import wait_for

from resnas_deploy.api import predicting
from resnas_deploy.cli import predicted

DATA = GOLDEN / "images"
FILES = sorted(DATA.glob("*.jpg"))
LINE = Draft202012Validator(json.loads((ROOT / "docs" / "schemas" / "predict-line.json").read_text()))
RESNAS = (sys.executable, "-m", "resnas_deploy")


@pytest.fixture
def listed(tmp_path):
    """The name of a list of so many images."""

    def write(count, *more):
        lines = [str(FILES[number % len(FILES)]) for number in range(count)]
        (tmp_path / "list.txt").write_text("\n".join([*lines, *map(str, more)]) + "\n")
        return "@list.txt"

    return write


@pytest.fixture
def document(resnas, mini_artifact):
    """What `--json` says of all four images."""
    return resnas("predict", mini_artifact, DATA, "--json", "--top", 2).json


def test_csv_has_a_line_for_each_class(resnas, mini_artifact, document):
    done = resnas("predict", mini_artifact, DATA, "--csv", "--top", 2)
    assert "resnas: note: ignored in" in done.err  # a README
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert list(rows[0]) == ["image", "rank", "class", "name", "probability"]
    assert [(row["image"], int(row["rank"]), int(row["class"]), float(row["probability"])) for row in rows] == [
        (each["image"], rank, guess["class"], guess["probability"])
        for each in document["images"]
        for rank, guess in enumerate(each["top"], 1)
    ]


def test_json_lines_have_an_object_for_each_image_and_for_each_that_could_not_be_read(resnas, mini_artifact, document):
    done = resnas("predict", mini_artifact, FILES[0], "nothing.jpg", *FILES[1:], "--jsonl", "--top", 2, code=2)
    lines = [json.loads(line) for line in done.out.splitlines()]
    for line in lines:
        LINE.validate(line)
    assert lines.pop(1) == {"image": "nothing.jpg", "error": done.err.removeprefix("resnas: ").removesuffix("\n")}
    assert lines == document["images"]


def test_names_that_need_quotes(resnas, mini_artifact, tmp_path):
    for name in ('a,b".jpg', "two\nlines.jpg", "狗.jpg"):
        (tmp_path / "odd" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "odd" / name).write_bytes(FILES[0].read_bytes())
    for options in (("--csv",), ("--out", "x.csv")):
        done = resnas("predict", mini_artifact, "odd", *options, "--top", 1)
        text = (tmp_path / "x.csv").read_text() if "--out" in options else done.out
        rows = [row[0] for row in csv.reader(io.StringIO(text, newline=""))]
        assert rows == ["image", 'odd/a,b".jpg', "odd/two\nlines.jpg", "odd/狗.jpg"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_a_file_holds_what_would_be_printed(resnas, mini_artifact, tmp_path, form):
    printed = resnas("predict", mini_artifact, DATA, "bad", f"--{form}", code=2)
    for name, options in ((f"out.{form}", ()), ("out", (f"--{form}",))):
        done = resnas("predict", mini_artifact, DATA, "bad", "--out", name, *options, code=2)
        assert (done.out, done.err) == (f"written: {name}\n", printed.err)
        assert (tmp_path / name).read_text() == printed.out


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(resnas, refused, mini_artifact, tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    assert "out.csv exists" in refused("predict", mini_artifact, FILES[0], "--out", "out.csv")
    resnas("predict", mini_artifact, FILES[0], "--out", "out.csv", "--force", "--top", 1)
    assert (tmp_path / "out.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--csv", "--json"], "one form must be asked for, found --csv and --json; leave one out"),
        (["--out", "x.txt"], "--out must end in .csv, .jsonl or .json, found 'x.txt'"),
        (["--out", "nowhere/x.csv"], "--out must lie in a folder that is there"),
        (["--batch", "9"], "--batch must lie in the range of"),
        (["--batch", "0"], "Invalid value for '--batch'"),
    ],
)
def test_what_is_refused(refused, mini_artifact, options, said):
    assert said in refused("predict", mini_artifact, FILES[0], *options)


def test_folders_patterns_and_lists(resnas, mini_artifact, listed):
    for given in ((DATA,), (f"{DATA}/*.jpg",), (listed(4),), (DATA / "[!x]*.jpg",)):
        found = resnas("predict", mini_artifact, *given, "--json", "--top", 1).json
        assert [each["image"] for each in found["images"]] == list(map(str, FILES))


def test_tables_come_as_they_are_full(resnas, mini_artifact, listed, monkeypatch):
    monkeypatch.setattr(predicted, "_IMAGES", 3)
    done = resnas("predict", mini_artifact, listed(7, "nothing"), "--top", 1, code=2)
    lines = done.out.splitlines()
    assert [number for number, line in enumerate(lines) if line == "mini fp32 112 on ort-cpu"] == [0, 5, 10]
    assert [line.split()[0] for line in lines if ".jpg" in line] == [str(FILES[number % 4]) for number in range(7)]
    assert "nothing" in done.err


def test_what_a_table_would_have_had_is_shown_where_one_fails(resnas, mini_artifact, listed, monkeypatch):
    """Here the tenth image's logits are no numbers."""
    usual, seen = predicting.guesses, []

    def spoilt(logits, top, names):
        tenth, changed = 9 - sum(seen), logits.copy()
        seen.append(len(logits))
        changed[max(0, tenth) : max(0, tenth + 1)] = np.nan
        return usual(changed, top, names)

    monkeypatch.setattr(predicting, "guesses", spoilt)
    done = resnas("predict", mini_artifact, listed(12), "--top", 1, code=3)
    assert done.out.count(".jpg") == 9
    assert "must be finite" in done.err


def test_untrained_weights_are_noted_beside_lines_for_programs(resnas, untrained_artifact):
    for form in ("--csv", "--jsonl"):
        done = resnas("predict", untrained_artifact(), FILES[0], form)
        assert done.err == "resnas: note: the weights are untrained: these classes mean nothing\n"
        assert "untrained" not in done.out


def test_a_list_that_is_piped_in_and_a_reader_that_goes_away(mini_artifact, listed, tmp_path):
    """The list is far longer than what is read of the results."""
    listed(100_000)
    command = [*RESNAS, "predict", str(mini_artifact), "-", "--jsonl", "--top", "1"]
    done = subprocess.run(
        ["bash", "-c", '"$@" < list.txt | head -2; echo ${PIPESTATUS[0]}', "x", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    *lines, code = done.stdout.splitlines()
    assert [json.loads(line)["image"] for line in lines] == list(map(str, FILES[:2]))
    assert (code, done.stderr) == ("141", "")


@pytest.mark.parametrize(
    "options",
    [("--jsonl",), *(pytest.param(more, marks=pytest.mark.slow) for more in (("--csv",), ("--out", "out.csv")))],
    ids=" ".join,
)
def test_ctrl_c_in_the_middle_leaves_whole_lines_and_says_how_many_were_done(mini_artifact, listed, tmp_path, options):
    names = listed(100_000)
    command = [*RESNAS, "predict", str(mini_artifact), names, *options]
    with (
        (tmp_path / "printed").open("wb") as printed,
        subprocess.Popen(command, cwd=tmp_path, stdout=printed, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            wait_for(lambda: seen(tmp_path), lambda: process.poll() is None)
            process.send_signal(signal.SIGINT)
            error = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 130
    done, last = error.splitlines()
    assert last == "resnas: interrupted"
    count = int(done.removeprefix("resnas: ").partition(" images were done")[0].replace(",", ""))
    assert 0 < count < 100_000
    lines = (tmp_path / "printed").read_text()
    if "--out" in options:
        assert done.endswith("images were done, and out.csv is not written")
        assert {path.name for path in tmp_path.iterdir()} == {"list.txt", "printed"}
    else:
        assert lines.endswith("\n")
        per_image = 5 if "--csv" in options else 1
        # One that was written when the signal came may not be counted yet.
        assert len(lines.splitlines()) - (per_image > 1) in (count * per_image, (count + 1) * per_image)


def seen(folder: Path):
    """Whether there is a result: in the file of stdout, or in that which will be one of `--out`."""
    return any(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != "list.txt")
