"""`resnas latency machines`, `pack` and `unpack`, as a person sees them, and what they refuse in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.mini_space import MINI, SETTING, drawn, sampled

from resnas_deploy.measuring.latency.store import LatencyStore


@pytest.fixture
def filled(tmp_path):
    with LatencyStore(tmp_path / "s.sqlite") as store:
        store.add(SETTING, MINI, "profile", 0, map(sampled, drawn(MINI, 3)))
        store.add(replace(SETTING, machine="jetson"), MINI, "profile", 0, map(sampled, drawn(MINI, 2)))


def test_profiles_are_listed_carried_and_listed_there(resnas, filled, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = resnas("latency", "machines", "--store", "s.sqlite").out
    for text in ("jetson", "ort-cpu (onnxruntime 1), fp32, batch 1, 2 threads, cpu", "mini", "112"):
        assert text in shown
    shown = resnas("latency", "pack", "p.json", "--machine", "jet", "--store", "s.sqlite").out
    assert "written: p.json" in shown
    assert "next, where you search: resnas latency unpack p.json" in shown
    shown = resnas("latency", "unpack", "p.json", "--store", "new.sqlite").out
    assert "2 networks are new to new.sqlite" in shown
    assert "--latency-of jetson" in shown
    assert "--out found --store new.sqlite\n" in shown, "the search finds them there alone"
    assert "0 networks are new to new.sqlite" in resnas("latency", "unpack", "p.json", "--store", "new.sqlite").out


def test_a_store_that_is_not_there_yet(resnas, tmp_path):
    shown = resnas("latency", "machines", "--store", "none.sqlite").out
    assert shown == "none.sqlite has no profile yet; resnas latency profile measures this machine\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pack"], "Missing argument 'file'"),
        (
            ["pack", "p.json", "--store", "none.sqlite"],
            "none.sqlite must hold a profile, found none; run: resnas latency",
        ),
        (["pack", "p.json", "--machine", "nano"], "--machine must be a machine that was profiled, found 'nano'; there"),
        (
            ["pack", "p.json", "--space", "small"],
            "--space must be one that was profiled, found 'small'; there are: mini",
        ),
        (["pack", "."], "FILE must be a file's name"),
        (["pack", "nowhere/p.json"], "FILE must lie in a folder that is there"),
        (["pack", "s.sqlite"], "s.sqlite exists; choose another FILE, or give --force to replace a file"),
        (["unpack"], "Missing argument 'file'"),
        (["unpack", "none.json"], "none.json must be a readable file"),
        (["unpack", "s.sqlite"], "s.sqlite must be UTF-8 text"),
        (["unpack", "."], "must be a file, found a folder"),
        (["machines", "--store", "p.txt"], "p.txt must be a latency store that resnas wrote"),
        (["machines", "more"], "unexpected extra argument"),
    ],
)
def test_wrong_usage_is_one_line(refused, filled, tmp_path, words, said):
    (tmp_path / "p.txt").write_text("a text")
    if "--store" not in words and words[0] == "pack":
        words = [*words, "--store", "s.sqlite"]
    assert said in refused("latency", *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.txt", "s.sqlite"]
