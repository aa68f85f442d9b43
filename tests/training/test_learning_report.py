"""The report of a run: one page that needs nothing else."""

from __future__ import annotations

import logging
from html.parser import HTMLParser

import pytest
from support.small_data import RECIPE, alone, run

from resnas_deploy.training import learning_report
from resnas_deploy.training.evaluate import ValidationAccuracy
from resnas_deploy.training.learning_report import write_report
from resnas_deploy.training.loop import train

ACCURACY = ValidationAccuracy(0.5, 0.75, 9, ())
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """What a browser sees: text, tags, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags, self.fetched, self.open = "", [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open += [tag] if tag not in VOID else []
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data", "action") and not value.startswith("#"):
                self.fetched.append(value)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "a<i>b"
    train(run(folder, recipe=RECIPE), alone())
    return folder


def report(folder, skipped=()):
    write_report(folder, ACCURACY, skipped)
    return (folder / "report.html").read_text()


def test_all_of_a_run_is_on_one_page(folder):
    pytest.importorskip("matplotlib")
    text = report(folder)
    page = Page(text)
    assert page.fetched == []
    assert "url(http" not in text
    assert "@import" not in text
    assert page.tags.count("svg") == 1
    for said in (
        "supernet of the space little, on stripes: 2 epochs. top-1 50.00%, top-5 75.00% of 9 validation images",
        "narrowest",
        "subnet8",
        "subnets mean",
        "learning_rate",  # the recipe
        "version of torch",
        "machine: cpu",
        "checkpoints/best.safetensors",
        "None.",  # images that could not be read
    ):
        assert said in page.text, said


def test_texts_are_escaped(folder):
    text = report(folder, ["<script>alert(1)</script> cannot be read"] * 2)
    page = Page(text)
    assert "script" not in page.tags
    assert "i" not in page.tags  # the folder's name
    assert page.text.count("<script>alert(1)</script> cannot be read") == 1
    assert "1 images, of the first process" in page.text


def test_without_matplotlib_the_page_says_so(folder, monkeypatch):
    monkeypatch.setattr(learning_report.importlib.util, "find_spec", lambda name: None)
    page = Page(report(folder))
    assert "svg" not in page.tags
    assert "pip install matplotlib" in page.text
    assert "version of torch" in page.text


def test_a_report_that_cannot_be_written_is_a_note(folder, tmp_path, monkeypatch, caplog):
    (tmp_path / "metrics.jsonl").write_text("")
    (tmp_path / "report.html").mkdir()
    with caplog.at_level(logging.WARNING):
        write_report(tmp_path, ACCURACY, ())
    assert "the report of the run is not written: " in caplog.text
