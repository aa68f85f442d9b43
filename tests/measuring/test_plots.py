"""Plots as files: each kind is one that other programs can read."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from support.checks import refusal
from support.seen_page import Seen

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.plots import check_plot, new_figure, write_figure

pytest.importorskip("matplotlib")


def test_a_page_has_the_drawing_and_the_table(tmp_path):
    figure, axis = new_figure(1)
    axis.plot([1, 2], [3, 4])
    write_figure(figure, tmp_path / "plot.html", "A <title>", [("what", "ms"), ("<b>", "1.5")])
    text = (tmp_path / "plot.html").read_text()
    svg = text[text.index("<svg") : text.rindex("</svg>") + 6]
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    page = Seen(text)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == tags.count("table") == 1
    assert not {"script", "img", "link", "b", "iframe"} & set(tags)
    assert {"A <title>", "what", "ms", "<b>", "1.5"} <= set(page.texts)


def test_another_suffix(tmp_path):
    for name in ("plot.pdf", "plot", ".svg", "plot.svg.gz"):
        for moving in (False, True):
            message = refusal(lambda name=name, moving=moving: check_plot(tmp_path / name, moving=moving))
            assert "must end in .png, .svg, .html, found" in message
    check_plot(tmp_path / "plot.HTML")


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, moving in (("plot.svg", False), ("plot.svg", True), ("plot.html", False)):
        with pytest.raises(NotAvailable, match="pip install matplotlib"):
            check_plot(tmp_path / name, moving=moving)
    check_plot(tmp_path / "plot.html", moving=True)  # which draws itself
