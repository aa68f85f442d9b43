"""Tables, as a notebook and a page show them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from resnas_deploy.pages.bars import CorrelationTable
from resnas_deploy.pages.table import Table


def test_what_comes_from_files_is_shown_as_text():
    found = ElementTree.fromstring(Table("<b>", ("a", "b & c"), [("<script>", "1\x00\x1b")]).html())
    assert found.findtext("caption") == "<b>"
    assert [cell.text for cell in found.iter("th")] == ["a", "b & c"]
    assert [cell.text for cell in found.iter("td")] == ["<script>", "1??"]


def test_numbers_are_aligned_right():
    found = ElementTree.fromstring(Table("", ("name", "what", "ms"), [("x", "y", "1")], text_columns=2).html())
    assert [cell.get("style") for cell in found.iter("td")] == [None, None, "text-align: right"]
    assert found.find("caption") is None


@pytest.mark.parametrize(
    ("value", "text", "style"),
    [
        (1.0, "+1.00", "left:50.0%;width:50.0%"),
        (-1.0, "-1.00", "left:0.0%;width:50.0%"),
        (0.5, "+0.50", "left:50.0%;width:25.0%"),
        (-0.001, "+0.00", "left:50.0%;width:0.1%"),
    ],
)
def test_a_correlation_is_a_number_and_a_bar_from_the_middle(value, text, style):
    shown = CorrelationTable("", ("choice", "it"), [("width", [value])]).html()
    assert f"<span class=number>{text}</span>" in shown
    assert style in shown


def test_a_correlation_that_is_not_defined_has_no_bar():
    shown = CorrelationTable("", ("choice", "it"), [("width", [None])]).html()
    assert "<span class=number>-</span></td>" in shown
    assert "left:" not in shown
