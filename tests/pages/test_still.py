"""Charts that need no script: well-formed, the same each time, and with texts of any origin."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from resnas_deploy.pages.still import COLOURS, Line, Panel, Still

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert(1)</script>\x01 & "quoted"'


def drawn(*panels, **changes):
    return ET.fromstring(Still("a title", "up, %", panels, **changes).svg())


def places(root):
    _, *circles = root.iter(f"{SVG}circle")  # the first is of the legend
    return [(float(each.get("cx")), float(each.get("cy"))) for each in circles]


def test_points_stand_where_their_figures_say():
    line = Line("a", 0, [(1.0, 70.0), (10.0, 75.0), (100.0, 80.0)], marks=("S", "M", "L"))
    root = drawn(Panel("one", "images a second", [line], ticks=[1, 10, 100]))
    (x1, y1), (x2, y2), (x3, y3) = places(root)
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)  # powers of ten are as far apart as each other
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert x1 < x2 < x3
    assert y3 < y2 < y1  # upward
    said = [each.text for each in root.iter(f"{SVG}text")]
    assert {"S", "M", "L", "1", "10", "100", "70", "80", "images a second", "up, %", "one", "a"} <= set(said)
    assert root.find(f"{SVG}title").text == "a title"


def test_names_are_texts():
    root = drawn(Panel(HOSTILE, HOSTILE, [Line(HOSTILE, 1, [(1.0, 2.0)], marks=[HOSTILE])], ticks=[]), note=HOSTILE)
    assert not list(root.iter(f"{SVG}script"))
    assert [each.text for each in root.iter(f"{SVG}text")].count(HOSTILE.replace("\x01", "?")) == 5


def test_a_single_point_and_equal_heights_have_room():
    for points in ([(5.0, 80.0)], [(5.0, 80.0), (7.0, 80.0)]):
        root = drawn(Panel("one", "x", [Line("a", 0, points)], ticks=[5]))
        width, height = float(root.get("width")), float(root.get("height"))
        assert all(0 < x < width and 0 < y < height for x, y in places(root))


def test_panels_stand_in_rows_and_have_one_legend():
    panels = [
        Panel(str(number), "x", [Line("a", 0, [(1.0, 2.0)]), Line("b", 1, [(2.0, 3.0)])], []) for number in range(5)
    ]
    root = drawn(*panels)
    assert len({each.get("transform").split()[1] for each in root.iter(f"{SVG}g")}) == 2
    assert [each.text for each in root.iter(f"{SVG}text")].count("b") == 1
    assert len(list(root.iter(f"{SVG}circle"))) == 2 + 5 * 2
    assert len(set(COLOURS)) == len(COLOURS) >= 6
