"""Tables of results, as a notebook shows them."""

from __future__ import annotations

from xml.etree import ElementTree

import resnas_deploy as resnas


def test_results_are_tables_in_notebooks():
    rows = ElementTree.fromstring(resnas.archs()._repr_html_()).findall("tbody/tr")
    assert [row.findtext("td") for row in rows] == ["tiny", "small", "medium"]
    runners = ElementTree.fromstring(resnas.available_runners()._repr_html_()).findall("tbody/tr")
    assert [row.findtext("td") for row in runners] == [runner.name for runner in resnas.available_runners()]
    shown = ElementTree.fromstring(resnas.inspect("tiny")._repr_html_())
    assert shown.findall("tbody/tr")[-1].findtext("td") == "total"
