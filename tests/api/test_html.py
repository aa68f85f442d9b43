"""Tables of results, as a notebook shows them."""

from __future__ import annotations

from xml.etree import ElementTree

import resnas_deploy as resnas
from resnas_deploy.api.html import Table


def test_what_comes_from_files_is_shown_as_text():
    found = ElementTree.fromstring(Table("<b>", ("a", "b & c"), [("<script>", "1")]).html())
    assert found.findtext("caption") == "<b>"
    assert [cell.text for cell in found.iter("th")] == ["a", "b & c"]
    assert [cell.text for cell in found.iter("td")] == ["<script>", "1"]


def test_numbers_are_aligned_right():
    found = ElementTree.fromstring(Table("", ("name", "what", "ms"), [("x", "y", "1")], text_columns=2).html())
    assert [cell.get("style") for cell in found.iter("td")] == [None, None, "text-align: right"]


def test_results_are_tables_in_notebooks():
    rows = ElementTree.fromstring(resnas.archs()._repr_html_()).findall("tbody/tr")
    assert [row.findtext("td") for row in rows] == ["tiny", "small", "medium"]
    runners = ElementTree.fromstring(resnas.available_runners()._repr_html_()).findall("tbody/tr")
    assert [row.findtext("td") for row in runners] == [runner.name for runner in resnas.available_runners()]
    shown = ElementTree.fromstring(resnas.inspect("tiny")._repr_html_())
    assert shown.findall("tbody/tr")[-1].findtext("td") == "total"
