"""Profiles in one file: what comes out is what went in, and a file that was cut or edited is refused in one line."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from support.checks import check_schema, refusal
from support.mini_space import EIGHT, MINI, SETTING, drawn, measured, sampled, truth

from resnas_deploy.measuring.latency import packed as module
from resnas_deploy.measuring.latency.packed import pack, packed, unpack, unpacked
from resnas_deploy.measuring.latency.store import Kept, LatencyStore

ARCHS = drawn(MINI, 6)
OTHER = replace(SETTING, machine="other-4-cores", batch=8)
KEPT = [
    Kept(SETTING, MINI, "profile", 0, tuple(measured(ARCHS, truth()))),
    Kept(SETTING, MINI, "check", 1, (sampled(ARCHS[0]),)),
    Kept(OTHER, EIGHT, "profile", 0, (sampled(EIGHT.widest().arch, 1 / 3),)),
]


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "latency.sqlite"
    with LatencyStore(path) as opened:
        opened.add_all(KEPT)
    return path


@pytest.fixture
def file(tmp_path, store):
    pack(tmp_path / "p.json", store)
    return tmp_path / "p.json"


def everything(path):
    with LatencyStore(path, create=False) as opened:
        return opened.everything()


def test_what_is_unpacked_is_what_was_packed(file, tmp_path):
    new = tmp_path / "new.sqlite"
    found = unpack(file, new)
    assert everything(new) == KEPT
    assert (found.added, [(item.setting, item.space, item.networks) for item in found.profiles]) == (
        8,
        [(SETTING, MINI, 6), (OTHER, EIGHT, 1)],
    )
    assert unpack(file, new).added == 0
    assert everything(new) == KEPT


def test_what_is_there_already_stays_as_it_was(file, tmp_path):
    new, mine = tmp_path / "new.sqlite", sampled(ARCHS[2], 9.0)
    with LatencyStore(new) as opened:
        opened.add(SETTING, MINI, "profile", 0, [mine])
    assert unpack(file, new).added == 7
    with LatencyStore(new) as opened:
        found = opened.networks(SETTING, MINI, "profile")
    assert [item for item in found if item.arch == ARCHS[2]] == [mine]


def test_one_machine_or_one_space_alone(store, tmp_path):
    pack(tmp_path / "a.json", store, machine="oth")
    assert unpacked((tmp_path / "a.json").read_bytes(), "a") == KEPT[2:]
    pack(tmp_path / "b.json", store, space="mini")
    assert unpacked((tmp_path / "b.json").read_bytes(), "b") == KEPT[:2]
    for arguments, said in (
        (
            {"machine": "jetson"},
            "`machine` must be a machine that was profiled, found 'jetson'; there are: machine; oth",
        ),
        ({"space": "small"}, "`space` must be one that was profiled, found 'small'; there are: eight; mini"),
    ):
        assert said in refusal(lambda arguments=arguments: pack(tmp_path / "c.json", store, **arguments))
    assert not (tmp_path / "c.json").exists()


def test_a_store_without_a_profile_has_nothing_to_carry(tmp_path):
    message = refusal(lambda: pack(tmp_path / "c.json", tmp_path / "none.sqlite"))
    assert message.endswith("none.sqlite must hold a profile, found none; run: `latency.profile()`")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_replaced_only_when_asked(file, store):
    assert "exists; choose another `file`, or give `force`" in refusal(lambda: pack(file, store))
    pack(file, store, force=True)


def test_the_file_is_what_its_schema_says(file):
    check_schema("latency-packed", json.loads(file.read_text()))


def test_a_file_that_was_cut_is_refused(file, tmp_path):
    whole = file.read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        file.write_bytes(whole[:length])
        message = refusal(lambda: unpack(file, tmp_path / "new.sqlite"))
        assert message.startswith(str(file))
        assert "\n" not in message
        assert message.endswith("pack it again where it was measured: `latency.pack()`")
    assert not (tmp_path / "new.sqlite").exists()


def test_a_file_that_was_edited_is_refused(file, tmp_path):
    text = file.read_text()
    edits = {
        "a time": text.replace("0.002", "0.001", 1),
        "a machine": text.replace('"machine": "machine"', '"machine": "another"', 1),
        "line breaks": json.dumps(json.loads(text)),
        "a field more": text.replace('"schema": 1', '"schema": 1,\n "more": 2', 1),
        "no hash": json.dumps({key: value for key, value in json.loads(text).items() if key != "sha256"}),
    }
    for what, edited in edits.items():
        assert edited != text
        file.write_text(edited)
        message = refusal(lambda: unpack(file, tmp_path / "new.sqlite"))
        assert str(file) in message, what
        assert "pack it again" in message, what
    assert not (tmp_path / "new.sqlite").exists()


def sealed(body):
    """The file of a body, with the hash that it must have."""

    def dump(content):
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()

    return dump({**body, "sha256": hashlib.sha256(dump(body)).hexdigest()})


def altered(*path_and_value):
    *path, value = path_and_value
    body = json.loads(packed(KEPT))
    del body["sha256"]
    item = body
    for key in path[:-1]:
        item = item[key]
    item[path[-1]] = value
    return sealed(body)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (altered("schema", 2), "must have schema 1 or less, found 2; use a newer resnas"),
        (altered("measured", []), "must hold a profile, found none"),
        (altered("measured", 0, "setting", "batch", 0), "must be of a precision, a batch size and threads"),
        (altered("measured", 0, "setting", "precision", "fp1"), "must be of a precision"),
        (altered("measured", 0, "setting", "threads", "2"), "measured[0].setting.threads must be an integer"),
        (altered("measured", 0, "setting", "machine", "a\nb"), "setting.machine must be 1 to 200 printable"),
        (altered("measured", 0, "setting", "more", 1), "has the unknown field 'more'"),
        (altered("measured", 0, "purpose", "fun"), "purpose must be one of profile, check"),
        (altered("measured", 0, "networks", 3, "samples_s", [0.1]), "networks[3] must hold times in seconds"),
        (altered("measured", 0, "networks", 3, "anchor_s", [0] * 6), "networks[3] must hold times in seconds"),
        (
            altered("measured", 0, "networks", 3, "arch", "image_size", 224),
            "networks[3].arch must be of the space mini",
        ),
        (altered("measured", 2, "space", "stages", 0, "hidden", [9]), "networks[0].arch must be of the space eight"),
        (altered("measured", 2, "space", "image_size", 100), "image_size must be a multiple"),
    ],
)
def test_a_file_that_is_whole_and_cannot_be(content, said):
    message = refusal(lambda: unpacked(content, "p.json"))
    assert said in message
    assert message.startswith("p.json")


def test_a_file_that_is_too_long(monkeypatch):
    monkeypatch.setattr(module, "MOST_NETWORKS", 7)
    assert "at most 7 networks, found 8; choose one `machine`" in refusal(lambda: packed(KEPT))
