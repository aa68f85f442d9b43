"""Figures of a comparison, its document, and what the table, the page and the picture show of it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from support.checks import check_schema, refusal
from support.made_up_tradeoff import PACE, made_up
from support.seen_page import Seen

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.measuring.peer_specs import PEERS
from resnas_deploy.measuring.tradeoff.charts import figures_table, sources_table, steps_of_ten
from resnas_deploy.measuring.tradeoff.page import page
from resnas_deploy.measuring.tradeoff.picture import picture
from resnas_deploy.measuring.tradeoff.result import TradeoffSetting, read_tradeoff

NAMES = [*PUBLISHED, *PEERS]


@pytest.fixture(scope="module")
def found():
    return made_up()


def test_all_of_the_papers_networks_take_part_in_every_setting(found):
    assert [point.network for point in found.points][: 2 * len(NAMES) : 2] == NAMES
    assert len(NAMES) == 16
    assert len(found.points) == len(NAMES) * 8
    assert TradeoffSetting("openvino", "int8", 16) in found.settings
    assert found.is_complete


def test_figures_are_the_ratio_to_the_reference_at_its_median_pace(found):
    for point in found.points:
        speed = {"fp32": 1.0, "int8": 2.0}[point.precision] * {"ort-cpu": 1.0, "openvino": 1.1}[point.runner]
        ms = 10 * found.contender(point.network).gmacs * point.batch / speed
        assert point.ms == pytest.approx(ms, rel=0.05)
        assert point.images_per_second == pytest.approx(1000 * point.batch / point.ms)
        assert point.low <= point.images_per_second <= point.high


def test_a_group_that_was_measured_while_the_machine_was_slow_is_brought_to_the_same_pace():
    """Twice the time of the reference workload means that everything else of its rounds took twice as long."""
    calm = made_up(noise=0)
    slow = calm.groups[1]
    twice = replace(
        slow,
        reference=replace(
            slow.reference, samples_s=tuple(tuple(2 * PACE for _ in one) for one in slow.reference.samples_s)
        ),
        measurements=tuple(
            replace(item, samples_s=tuple(tuple(2 * one for one in opening) for opening in item.samples_s))
            for item in slow.measurements
        ),
    )
    drifted = replace(calm, groups=(calm.groups[0], twice, *calm.groups[2:]))
    assert drifted.pace_s == PACE
    for one, other in zip(calm.points, drifted.points, strict=True):
        assert one.images_per_second == pytest.approx(other.images_per_second)


def test_the_document_is_read_back_and_has_the_schema(found, tmp_path):
    found.write(tmp_path / "tradeoff.json")
    document = json.loads((tmp_path / "tradeoff.json").read_text())
    check_schema("tradeoff", document)
    again = read_tradeoff(tmp_path / "tradeoff.json")
    assert again == found
    assert again.points == found.points
    by_name = {each["name"]: each for each in document["asked"]["contenders"]}
    assert by_name["deit-small"]["top1"] == 79.8
    assert all(each["top1_is"] == "published" and "arXiv" in each["top1_from"] for each in by_name.values())
    assert not any(each["trained"] for each in by_name.values())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda it: it | {"schema": 9}, "must be a document of `tradeoff()` with schema 1, found 9"),
        (lambda it: it | {"foreign": 1}, "has the unknown field 'foreign'"),
        (lambda it: it["groups"][0]["reference"]["samples_s"].pop() and it, "samples of"),
        (lambda it: [], "must be a document of `tradeoff()`"),
    ],
)
def test_a_damaged_document_is_refused(found, tmp_path, change, told):
    path = tmp_path / "tradeoff.json"
    path.write_text(json.dumps(change(found.to_json())))
    assert told in refusal(lambda: read_tradeoff(path))


def test_the_tables(found):
    table = figures_table(found)
    assert [row[0] for row in table.rows] == NAMES
    assert len(table.columns) == 4 + 8
    assert "not measured" in table.title
    sources = {row[0]: row for row in sources_table(found).rows}
    assert sources["pvt-large"][2:] == ("81.7", "published", PEERS["pvt-large"].top1_from)
    assert sources["medium"][2] == "82.4"


def test_what_was_not_measured_is_said(found):
    fewer = replace(found, interrupted=True)
    assert any("was not measured here" in note for note in found.notes())
    assert any(note.startswith("interrupted: ") for note in fewer.notes())
    assert not any(note.startswith("interrupted: ") for note in found.notes())


def test_the_page_has_both_charts_and_every_source(found):
    text = page(found).html()
    by_macs, measured = Seen(text).data
    assert [series["name"] for series in by_macs["series"]] == ["ViT-ResNAS", "DeiT", "PiT", "PVT", "Swin"]
    networks = [each for family in measured["families"] for each in family["networks"]]
    assert {each["said"][0] for each in networks} == set(NAMES)
    for each in networks:
        assert len(each["at"]) == len(measured["settings"]) == 8
        assert "published: " in each["said"][1]
    for spec in PEERS.values():
        assert f"published: {spec.top1_from}" in text


def test_where_nothing_ran_there_is_no_chart_of_throughput(found):
    groups = [
        replace(group, measurements=tuple(replace(each, samples_s=(), failure="out of memory") for each in ran))
        for group in found.groups
        if (ran := group.measurements)
    ]
    none = replace(found, groups=tuple(groups))
    assert not none.points
    text = page(none).html()
    assert "Top-1 against MACs, both as published" in text
    assert "Top-1 as published against throughput" not in text
    assert "As published" in picture(none)


def test_the_picture_is_the_same_each_time_and_shows_every_network_in_every_panel(found):
    text = picture(found)
    assert text == picture(made_up())
    root = ET.fromstring(text)
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == 5 + 9 * len(NAMES)  # of the legend, and a panel of MACs and one for each setting
    said = " ".join(each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "ONNX Runtime int8, batch 16" in said
    assert "not measured here" in said
    box = [float(number) for number in root.get("viewBox").split()]
    assert box[2:] == [float(root.get("width")), float(root.get("height"))]


def test_a_changed_figure_changes_the_picture(found):
    group = found.groups[0]
    first = group.measurements[0]
    faster = replace(first, samples_s=tuple(tuple(one / 2 for one in opening) for opening in first.samples_s))
    changed = replace(found, groups=(replace(group, measurements=(faster, *group.measurements[1:])), *found.groups[1:]))
    assert picture(changed) != picture(found)


def test_ticks():
    assert steps_of_ten([0.7, 17.6]) == [1, 2, 5, 10]
    assert steps_of_ten([3.0, 4.0]) == []
