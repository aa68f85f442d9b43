"""The Markdown and the page of what a gate found."""

from __future__ import annotations

import re

import pytest
from support.made_up_gate import change, gated, history
from support.made_up_measuring import configuration
from support.seen_page import Seen

from resnas_deploy.measuring.gate_page import gate_page
from resnas_deploy.measuring.gate_summary import MOST_ROWS, headline, picture

HOSTILE = "</script>`|@somebody\n```\n# _x_ <b>"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (gated(change(1.0), change(0.9, batch=8)), "Latency: none of 2 slower"),
        (gated(change(1.0), change(1.2, batch=8)), "Latency: 1 of 2 slower, by up to 20.0%"),
        (gated(change(1.0), missing=(configuration(batch=8),)), "Latency: 1 of 2 did not run"),
        (gated(change(1.0), interrupted=True), "Latency: interrupted, 0 of 1 slower so far"),
        (gated(), "Latency: none of 0 slower"),
    ],
)
def test_the_headline(found, said):
    assert headline(found) == said
    assert found.markdown().startswith(f"### {said}\n")


def test_the_table_and_the_notes():
    found = gated(change(1.2, label="small fp32"), notes=("the machine was busy",), differences=("cpu: a there",))
    text = found.markdown()
    row = "| small fp32 | ort-cpu | 1 | host to host | 0.020 | 0.024 | 1.200 | 1.183 to 1.217 | 12 | slower |"
    assert row in text.splitlines()
    assert "- `the machine was busy`" in text
    assert "- `different: cpu: a there`" in text
    assert "Slower is what is beyond 1.030" in text


def test_the_picture_has_everything_at_its_place():
    lines = picture(gated(change(1.0), change(1.1, batch=8), change(0.9, batch=16), change(9.0, batch=32)))
    assert lines[0].startswith("now/baseline")
    one = lines[0].index(" 1 ") + 1
    for line, verdict in zip(lines[1:], ("as before", "slower", "faster", "slower"), strict=True):
        assert line.endswith(verdict)
        place = re.search(r"[oO](?=[ :|-]*\d)", line[one - 20 :]).start() + one - 20
        assert {"as before": place == one, "slower": place > one, "faster": place < one}[verdict]
        assert ("O" in line[20:]) == (verdict == "slower")
    assert len({line.index(line.split()[-2 if "as" not in line.split() else -3]) for line in lines[1:]}) == 1


def test_names_do_nothing_but_be_read():
    text = gated(change(1.2, label=HOSTILE), notes=(HOSTILE,), baseline=HOSTILE).markdown()
    assert text.count("```") == 2  # ours
    outside = re.sub(r"```text\n.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert "@" not in outside
    assert "<" not in outside


def test_thousands_of_rows_fit_into_a_comment():
    """GitHub refuses one of more than 65,536 characters."""
    found = gated(*(change(1.0, label="y" * 500, batch=number) for number in range(1, 3000)), notes=("x" * 900,) * 99)
    assert len(found.markdown()) < 60_000
    assert f"and {2999 - MOST_ROWS} more" in found.markdown()


def test_the_page_has_the_same_and_the_history():
    found = gated(change(1.2, label=HOSTILE), change(1.0, batch=8), missing=(configuration(batch=9),), notes=("busy",))
    seen = Seen(gate_page(found, found.table(), history([1.0, 1.2])).html())
    assert len(seen.data) == 3  # of now, and of each case
    assert [series["name"] for series in seen.data[0]["series"]] == [
        "the baseline",
        "slower beyond",
        "as before",
        "slower",
    ]
    assert "busy" in seen.texts
    assert "b" not in [tag for tag, _ in seen.tags]
    assert len(Seen(gate_page(found, found.table(), None).html()).data) == 1
