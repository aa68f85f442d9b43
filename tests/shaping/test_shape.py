"""Shaping: what is decided of times that are made up, and of real ones; what is kept, and what goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.checks import check_schema
from support.shaped_spaces import ROUNDS, SETUP, chosen, fill, little, setting

import resnas_deploy as resnas
from resnas_deploy.measuring.latency.store import LatencyStore, Sampled
from resnas_deploy.shaping import measured, shape
from resnas_deploy.shaping.measured import purpose_of
from resnas_deploy.shaping.page import page
from resnas_deploy.shaping.pieces import piece
from resnas_deploy.shaping.shape import shape_by_time
from resnas_deploy.shaping.text import shaped_text
from resnas_deploy.weights.space_text import parse_space

WIDTHS = little(widths=(24, 20, 16))
HEADS = little(heads=(4, 2))


def shaped(space, path, **changes):
    kept = {"name": "mine", "openings": 3, "within": 1.0, "minutes": 0} | changes
    return shape_by_time(space, SETUP, path, **kept)


def outcomes(found, name):
    (dimension,) = (each for each in found.dimensions if each.name == name and each.measured)
    return {each.value: each.outcome for each in dimension.values}


def test_what_costs_no_less_goes_and_the_widest_of_the_same_cost_comes(tmp_path):
    fill(tmp_path / "s", WIDTHS, {32: 1.5, 24: 1.2, 20: 1.2, 16: 1.0}, noise=0.002)
    found = shaped(WIDTHS, tmp_path / "s")
    assert outcomes(found, "widths") == {32: "not taken", 24: "kept", 20: "dropped", 16: "kept"}
    assert found.space.stages[0].widths == (24, 16)
    assert found.space == replace(WIDTHS, name="mine", stages=found.space.stages)
    (widths,) = (each for each in found.dimensions if each.measured)
    of_20 = widths.values[2]
    assert (of_20.beside, of_20.ratio.value) == (24, pytest.approx(1, rel=0.005))
    assert of_20.ms == pytest.approx(1.2, rel=0.005)
    assert not found.notes
    assert found.complete


def test_heads_between(tmp_path):
    fill(tmp_path / "s", HEADS, {4: 1.4, 3: 1.0, 2: 1.0})
    assert shaped(HEADS, tmp_path / "s").space.stages[0].heads == (4, 3)


MIXED = little(mixers=("pooled2", "window2", "window3"))


def test_a_mixer_that_saves_nothing_goes(tmp_path):
    """A window and a pool see different things: neither takes the other's place. `global` takes any."""
    fill(tmp_path / "s", MIXED, {"global": 1.5, "window3": 1.0, "window2": 1.0, "pooled2": 1.2})
    found = shaped(MIXED, tmp_path / "s")
    assert found.space.stages[0].mixers == ("window3", "pooled2")
    assert "#   window2 dropped: window3 costs 1.000 of it (1.000 to 1.000)\n" in shaped_text(found)
    assert "#   global not taken: it costs 1.500 of window3 (1.500 to 1.500)\n" in shaped_text(found)
    assert "window2" in page(found).html()
    fill(tmp_path / "t", MIXED, dict.fromkeys(("global", "window3", "window2", "pooled2"), 1.0))
    found = shaped(MIXED, tmp_path / "t")
    assert "global" not in found.space.stages[0].mixers  # which would be a wider widest subnet, that nobody measured
    both = replace(MIXED, stages=(replace(MIXED.stages[0], mixers=("window2", "global")), *MIXED.stages[1:]))
    fill(tmp_path / "u", both, {"global": 1.0, "window2": 1.0})
    assert shaped(both, tmp_path / "u").space.stages[0].mixers == ("global",)


def test_what_the_noise_leaves_open_is_kept(tmp_path):
    fill(tmp_path / "s", WIDTHS, dict.fromkeys((32, 24, 20, 16), 1.0), noise=0.05)
    found = shaped(WIDTHS, tmp_path / "s")
    assert found.space.stages[0].widths == (24, 20, 16)
    told = " ".join(why for each in found.dimensions for _, why in each.lines())
    assert "too uncertain to tell" in told


@pytest.mark.parametrize(("cost", "within", "width"), [(1.0, 1.0, 32), (1.2, 1.0, 24), (1.2, 1.25, 32)])
def test_nothing_wider_is_added_that_the_widest_subnet_must_pay_for(tmp_path, cost, within, width):
    fill(tmp_path / "s", WIDTHS, {32: 1.2, 24: 1.2, 20: 1.1, 16: 1.0})
    wider = replace(WIDTHS, stages=(replace(WIDTHS.stages[0], widths=(32, 20, 16)), *WIDTHS.stages[1:]))
    pair = WIDTHS.widest().arch, wider.widest().arch
    with LatencyStore(tmp_path / "s") as store:
        for opening in range(3):
            rows = [
                Sampled(arch, (1e-3 * took,) * ROUNDS, (1e-3,) * ROUNDS)
                for arch, took in zip(pair, (1, cost), strict=True)
            ]
            store.add(setting(), WIDTHS, purpose_of(pair), opening, rows)
    found = shaped(WIDTHS, tmp_path / "s", within=within)
    assert max(found.space.stages[0].widths) == width
    if width == 24:
        assert "stage 1 widths 32 was not added: the widest subnet would have cost 1.200 " in found.notes[0]
        assert found.widest is None
    else:
        assert found.widest.value == pytest.approx(cost)


def test_nothing_wider_is_added_that_nobody_measured(tmp_path):
    fill(tmp_path / "s", WIDTHS, {32: 1.2, 24: 1.2, 20: 1.1, 16: 1.0})
    found = shaped(WIDTHS, tmp_path / "s")
    assert max(found.space.stages[0].widths) == 24
    assert found.notes == ("the widest subnet was not measured in the time: nothing wider than before was added",)


def test_a_list_that_was_not_measured_stays_as_it_was(tmp_path):
    fill(tmp_path / "s", WIDTHS, {32: 1.2, 24: 1.0, 20: 1.0, 16: 1.0}, openings=2)
    found = shaped(WIDTHS, tmp_path / "s")
    assert found.space == replace(WIDTHS, name="mine")
    assert found.notes == (
        "1 of 9 lists stay as they were, for the `minutes` were over: the same call goes on with them",
    )
    assert not found.complete
    assert f"#   not measured\nwidths = {[*WIDTHS.stages[0].widths]}\n" in shaped_text(found)


def test_the_file_says_why_and_is_the_space(tmp_path):
    fill(tmp_path / "s", WIDTHS, {32: 1.5, 24: 1.2, 20: 1.2, 16: 1.0})
    found = shaped(WIDTHS, tmp_path / "s")
    text = shaped_text(found)
    assert parse_space(text, "other.toml") == found.space
    assert "#   20 dropped: 24 costs 1.000 of it (1.000 to 1.000)\n" in text
    assert "#   32 not taken: it costs 1.250 of 24 (1.250 to 1.250)\n" in text
    html = page(found).html()
    assert "stage 1 widths" in html
    assert "24 costs 1.000 of it" in html
    check_schema("space-shape", json.loads(json.dumps(found.to_json())))


@pytest.mark.parametrize(("runner", "precision"), [("ort-cpu", "fp32"), ("ort-cpu", "int8"), ("openvino", "fp32")])
def test_on_this_device(tmp_path, runner, precision):
    """Real networks of a real runtime; what is found hangs on the machine, that it is a space does not."""
    out = tmp_path / "mine.toml"
    asked = {"runner": runner, "precision": precision, "threads": 1, "openings": 2, "store": tmp_path / "s"}
    found = resnas.space.shape(HEADS, out=out, **asked)
    assert found.measured_now == 3 * 2
    assert found.complete
    assert resnas.space.show(out).space == found.space
    assert found.space.name == "mine"
    again = resnas.space.shape(HEADS, out=out, force=True, **asked)
    assert again.measured_now == 0
    assert again.space == found.space
    assert again.dimensions == found.dimensions


def test_mixers_on_this_device(tmp_path):
    found = resnas.space.shape(MIXED, runner="ort-cpu", threads=1, openings=2, store=tmp_path / "s")
    assert found.complete
    looked_at = {each.value for one in found.dimensions if one.name == "mixers" for each in one.values}
    assert looked_at - {"global"} == set(MIXED.stages[0].mixers)  # which may have been added, and taken back
    assert set(found.space.stages[0].mixers) <= looked_at


def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch):
    space = little(heads=(2, 1), hidden=(64, 32))
    openings = []

    def interrupted(setup, networks, rng, progress):
        openings.append(1)
        if len(openings) == 4:
            raise KeyboardInterrupt
        return time_together(setup, networks, rng, progress)

    time_together = measured.time_together
    monkeypatch.setattr(measured, "time_together", interrupted)
    out = tmp_path / "mine.toml"
    asked = {"runner": "ort-cpu", "threads": 1, "openings": 2, "store": tmp_path / "s", "out": out}
    found = resnas.space.shape(space, **asked)
    assert found.interrupted
    assert not out.exists()
    assert [each.name for each in found.dimensions if not each.decided] == ["hidden"]
    assert "it was interrupted" in found.notes[-1]
    found = resnas.space.shape(space, **asked)
    assert found.measured_now == 2  # the one opening that was cut short
    assert found.complete
    assert out.is_file()


def test_what_is_kept_does_not_disturb_profiles(tmp_path):
    fill(tmp_path / "s", WIDTHS, dict.fromkeys((32, 24, 20, 16), 1.0))
    assert not resnas.latency.machines(store=tmp_path / "s").profiles
    with pytest.raises(resnas.BadInput, match="must hold a profile, found none"):
        resnas.latency.pack(tmp_path / "packed.json", store=tmp_path / "s")


def test_progress_counts_openings(tmp_path):
    told = []
    shape.shape_by_time(HEADS, SETUP, tmp_path / "s", name="x", openings=2, within=1.0, minutes=5, progress=told.append)
    counted = [each for each in told if getattr(each, "stage", "") == "openings"]
    assert counted
    assert all(0 <= each.done <= each.total for each in counted)
    assert [each.done for each in counted] == sorted(each.done for each in counted)


def test_pieces_of_the_one_list_are_what_is_kept(tmp_path):
    fill(tmp_path / "s", HEADS, {4: 1.4, 3: 1.2, 2: 1.0})
    with LatencyStore(tmp_path / "s") as store:
        (first, *_) = store.everything()
    assert {item.arch for item in first.networks} == {piece(HEADS, chosen(HEADS), value) for value in (4, 3, 2)}
