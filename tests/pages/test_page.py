"""A page: whole in itself, escaped whatever is in it, and no larger than it needs to be."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from support.seen_page import Seen

from resnas_deploy.pages import escaping
from resnas_deploy.pages.bars import SharesChart
from resnas_deploy.pages.page import Beside, Chart, Drawing, Folded, Items, Page, Section, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "--><img src=x onerror=alert(1)>",
    "\"quoted\" 'too' & co",
    "a\nb\x00\x1b[31m",
    "名前 \U0001f600 \u2028",
]


def everything(name):
    """A page that has every kind of part, with a name wherever there may be one."""
    plot = Plot(Axis(name), Axis(name), (Series(name, (1, 2), (3, 4), tips=(name, name)),))
    table = Table(name, (name, "ms"), [(name, "1")])
    return Page(
        name,
        (
            Text(name),
            Items((name,)),
            Section(name, (Folded(name, (table,)), Beside((plot.chart(name), Chart("plot", name, {"x": name}))))),
            SharesChart(name, [(name, {name: 0.25, "other": 0.75})]),
        ),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_texts_wherever_they_stand(name):
    page, plain = Seen(everything(name).html()), Seen(everything("name").html())
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert [set(attributes) for _, attributes in page.tags] == [set(attributes) for _, attributes in plain.tags]
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in name)
    assert page.texts.count(shown) >= 6
    assert page.data[0]["series"][0]["name"] == name
    assert page.data[1] == {"x": name}


def test_the_policy_lets_that_one_script_run_and_nothing_be_loaded():
    text = everything("name").html()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    for tag, attributes in Seen(text).tags:
        assert tag not in ("link", "img", "iframe", "object")
        assert not {"src", "href"} & set(attributes)


def test_a_page_that_only_stands_still_has_no_script():
    page = Page("it", (Text("a"), Table("", ("a",), [("b",)]), Drawing("<svg></svg>"), Section("c", (Items(("d",)),))))
    assert "<script" not in page.html()


def test_data_has_nothing_that_could_end_its_element():
    assert not set("<>&\u2028") & set(escaping.data(HOSTILE))
    assert json.loads(escaping.data(HOSTILE)) == HOSTILE
    with pytest.raises(ValueError, match="not JSON compliant"):
        escaping.data([float("nan")])


def test_what_a_series_has_not_is_left_out_and_numbers_are_short():
    (data,) = Seen(Plot(Axis("x"), Axis("y"), (Series("s", (1 / 3,), (2 / 3,)),)).chart("t").html()).data
    assert data["series"] == [
        {"name": "s", "form": "points", "colour": 0, "marker": "circle", "band": False, "x": [0.33333], "y": [0.66667]}
    ]
