"""`resnas space`: what is listed and shown, and a file of one's own that is checked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import check_schema
from support.mini_space import ANCHOR_S, SETTING, drawn, measured, truth
from support.places import GOLDEN

from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.profile import PROFILE
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.weights.space_files import packaged_spaces, space_named

MINI = GOLDEN / "spaces" / "mini.toml"


def test_those_of_the_package(resnas):
    title, head, *rows = resnas("space", "list", "--store", "none").out.splitlines()
    assert title == "Search spaces of the package"
    assert [row.split()[0] for row in rows] == list(packaged_spaces())
    tiny = rows[0]
    assert all(text in tiny for text in ("3-6 3-6 3-6", "224", "10^28.3", "0.752-3.5", "15.5-84.8")), head


def test_one_of_them(resnas):
    done = resnas("space", "show", "small", "--store", "none")
    assert "small: 421,103,033,739,031,073,632,118,898,688,000 subnets (10^32.6)" in done.out
    assert "GMACs                      1.47    6.26" in done.out
    assert "16 14 12 10" in done.out
    assert done.err == "resnas: note: stages[0].widths 220: no multiple of 8, which GPUs like in half precision\n"


def test_documents(resnas):
    shown = resnas("space", "show", MINI, "--json").json
    check_schema("space", shown)
    assert (shown["subnets"], shown["architectures"]) == (22_744_800, 22_744_800)
    assert shown["space"]["name"] == "mini"
    assert shown == resnas("space", "check", MINI, "--json").json
    listed = resnas("space", "list", "--json").json
    check_schema("spaces", listed)
    assert [each["space"]["name"] for each in listed] == list(packaged_spaces())


def test_latencies_where_it_was_profiled(resnas, tmp_path):
    space = space_named(MINI)
    with LatencyStore(tmp_path / "s.sqlite") as store:
        for setting, count in ((SETTING, 60), (replace(SETTING, batch=8), 3)):  # of 3 there is no model
            store.add(setting, space, PROFILE, 0, measured(drawn(space, count), truth(space), space))
    (found,) = resnas("space", "show", MINI, "--store", "s.sqlite", "--json").json["latencies"]
    assert (found["setting"]["batch"], found["networks"]) == (1, 60)
    ratios = Terms.of_space(space).of([space.narrowest().arch, space.widest().arch]) @ truth(space)
    assert [found["least_ms"], found["most_ms"]] == pytest.approx(1e3 * ANCHOR_S * ratios, rel=1e-3)
    row = f"ms on machine: {SETTING} {found['least_ms']:.4g} {found['most_ms']:.4g}"
    assert row in " ".join(resnas("space", "show", MINI, "--store", "s.sqlite").out.split())
    assert "latency" not in resnas("space", "list", "--store", "s.sqlite").out
    demo = packaged_spaces()["demo"]
    with LatencyStore(tmp_path / "s.sqlite") as store:
        store.add(SETTING, demo, PROFILE, 0, measured(drawn(demo, 60), truth(demo), demo))
    head, *rows = resnas("space", "list", "--store", "s.sqlite").out.splitlines()[1:]
    assert head.endswith("latency, ms")
    assert rows[-1].endswith("(ort-cpu fp32 x1)")


@pytest.mark.parametrize("name", ["small", MINI])
def test_a_file_to_begin_with(resnas, tmp_path, name):
    (tmp_path / "mine.toml").write_text(resnas("space", "show", name, "--toml").out)
    assert space_named(tmp_path / "mine.toml") == space_named(name)
    done = resnas("space", "check", "mine.toml")
    assert done.out.startswith(f"mine.toml: the space {space_named(name).name}, ")
    assert "next: resnas train supernet --space mine.toml --data FOLDER --out run" in done.out


def test_what_is_wrong_and_what_is_odd(resnas, refused, tmp_path):
    text = MINI.read_text()
    (tmp_path / "mine.toml").write_text(text.replace("blocks = 2", "blocks = 1", 1))
    line = refused("space", "check", "mine.toml")
    said = "mine.toml, line 11: stages[0]: droppable must be different positions from 1 to blocks = 1, found (2,)"
    assert line == f"resnas: {said}"
    assert refused("space", "show", "mine.toml") == line
    one = "\n[[stages]]\nwidths = [8]\nheads = [1]\nhead_dims = [8]\nhidden = [8]\nblocks = 1\n"
    (tmp_path / "one.toml").write_text(f"image_size = 56\n{one}{one}")
    done = resnas("space", "check", "one.toml")
    assert "one.toml: the space one, 1 subnet\n" in done.out
    assert done.err == "resnas: note: it has one subnet: there is nothing to search\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "huge"), "must be one of tiny, small, demo, a TOML file or a supernet, found 'huge'"),
        (("show", "x" * 5000), "must be one of tiny, small, demo, a TOML file or a supernet"),
        (("check", "tiny"), "tiny must be a readable file, found: No such file or directory"),
        (("check", GOLDEN), "must be a file, found a folder"),
        (("check", GOLDEN / "macs.csv"), "must be a search space in TOML"),
        (("check", GOLDEN / "vit_search_mini.npz"), "must be UTF-8 text"),
    ],
)
def test_what_is_no_space(refused, words, said):
    assert said in refused("space", *words)
