"""The document of what was measured: there and back, and what is said of one that is not what it should be."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.made_up_measuring import CALM, measurement, report

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.machine.energy import Energy
from resnas_deploy.measuring.report import SCHEMA, Report, read_report

times = st.floats(1e-9, 1e9)
FULL = report(
    replace(
        measurement(((0.1, 0.2), (0.3,)), shares={"stem": 0.25, "other": 0.75}),
        ceiling_ms=1.5,
        ceiling_from="torch",
        energy=(Energy("RAPL, 1 package", 0.5, 10.0, 2.0, 40),),
    ),
    measurement(((1.0, 2.0), (3.0,)), settled=False, batch=2, streams=2, images=16),
    measurement((), failure="out of memory", batch=512),
    reference=((1.0, 1.1), (1.2,)),
)


@st.composite
def reports(draw):
    rounds = draw(st.lists(st.integers(1, 3), max_size=3))

    def samples():
        return tuple(tuple(draw(times) for _ in range(number)) for number in rounds)

    found = [measurement(samples(), batch=batch, label=draw(st.text())) for batch in range(draw(st.integers(0, 3)))]
    lost = [measurement((), failure="out of memory", batch=99)] * draw(st.integers(0, 1))
    return report(*found, *lost, reference=samples(), interrupted=draw(st.booleans()))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "result.json"
    FULL.write(path)
    return path


def altered(path, change):
    """The refusal of the document at `path` after `change` of its data; it must name the file."""
    data = json.loads(path.read_text())
    path.write_text(json.dumps(change(data) or data))
    message = refusal(lambda: read_report(path))
    assert str(path) in message
    return message


@given(found=reports())
def test_there_and_back(tmp_path_factory, found):
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    found.write(path)
    assert read_report(path) == found


def test_everything_there_and_back(written):
    assert read_report(written) == FULL
    data = json.loads(written.read_text())
    assert data["schema"] == SCHEMA
    assert data["measurements"][0]["samples_s"] == [[0.1, 0.2], [0.3]]


def test_the_document_says_what_disturbed_it(written):
    assert json.loads(written.read_text())["warnings"] == []
    busy = replace(FULL, conditions=replace(CALM, other_load=0.5, throttle_events=3))
    assert busy.to_json()["warnings"] == [
        "the machine was busy: others used 50% of its 2 cores",
        "throttled: heat slowed the processor down, 3 events",
    ]


@pytest.mark.slow
def test_cut_short_at_every_length(written):
    content = written.read_bytes().rstrip()
    for length in range(len(content)):
        written.write_bytes(content[:length])
        assert str(written) in refusal(lambda: read_report(written))


def test_flipped_bytes_are_refused_or_change_a_value(written):
    content, rng = written.read_bytes(), random.Random(0)
    for _ in range(600):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        written.write_bytes(damaged)
        try:
            assert isinstance(read_report(written), Report)
        except BadInput as error:
            assert str(written) in str(error)


def test_nothing_in_it(tmp_path):
    for content in (b"", b" \n"):
        (tmp_path / "a.json").write_bytes(content)
        message = refusal(lambda: read_report(tmp_path / "a.json"))
        assert message.endswith("a.json must be a report of `bench()`, found an empty file; measure it again")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x00\xff\xfe", "must be UTF-8 text"),
        (b"[" * 100_000, "must be JSON"),
        (b"[1]", "without a schema number"),
        (b"{}", "without a schema number"),
        (b'{"schema": "2"}', "without a schema number"),
        (b'{"schema": true}', "without a schema number"),
        (b'{"schema": 3}', f"must have schema {SCHEMA}, found 3; use a newer resnas"),
        (b'{"schema": 1}', f"must have schema {SCHEMA}, found 1; measure it again"),
        (b'{"schema": %s}' % (b"9" * 4000), "found something else (cut short?): a number of 4000 digits"),
        (b'{"schema": 2, "machine": 1e999}', "the number 1e999, which is beyond float64"),
        (b'{"schema": 2}', "machine must be there, found none"),
    ],
)
def test_other_content(tmp_path, content, words):
    (tmp_path / "a.json").write_bytes(content)
    message = refusal(lambda: read_report(tmp_path / "a.json"))
    assert "a.json" in message
    assert words in message


def test_no_file_and_a_folder(tmp_path):
    assert refusal(lambda: read_report(tmp_path / "none.json")).endswith(
        "No such file or directory; `bench()` with `out` makes one"
    )
    assert "found a folder" in refusal(lambda: read_report(tmp_path))
    assert "must be a readable file" in refusal(lambda: read_report(tmp_path / ("x" * 300)))


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(10**12)
    assert "at most 32000000 bytes, found more" in refusal(lambda: read_report(tmp_path / "a.json"))


@pytest.mark.parametrize("value", [None, "x", -1.5, [], {}, True, float("nan"), float("inf"), 10**400, [[]], [["x"]]])
def test_every_field_with_a_wrong_value(written, value):
    """Wherever it is put, it is refused by name or is a value that the field may have; nothing else happens."""

    def places(data, path=()):
        items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        for key, item in items:
            yield (*path, key)
            yield from places(item, (*path, key))

    text = written.read_text()
    refused = 0
    for path in list(places(json.loads(text))):
        data = json.loads(text)
        inner = data
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        written.write_text(json.dumps(data))
        try:
            found = read_report(written)
        except BadInput as error:
            assert str(written) in str(error)
            refused += 1
        else:
            for item in found.measurements:
                assert item.failure or (item.throughput is not None and item.figured(found.reference.samples_s))
    assert refused > 30


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (
            [[0.1, 0.2]],
            "must have [2, 1] samples of 'label, ort-cpu, batch 1, host to host, 2 threads' by opening, found [2]",
        ),
        ([[0.1], [0.2, 0.3]], "found [1, 2]"),
        ([], "found []"),
        ([[0.1, 0.0], [0.3]], "must hold times of 1e-09 to 1e+09 s, found 0 of 'label"),
        ([[0.1, -1], [0.3]], "found -1"),
        ([[0.1, 1e300], [0.3]], "found 1e+300"),
    ],
)
def test_samples_that_cannot_be(written, samples, words):
    def change(data):
        data["measurements"][0]["samples_s"] = samples

    assert words in altered(written, change)


def test_an_opening_without_samples(written):
    def change(data):
        data["reference"]["samples_s"] = [[], [1.0]]

    assert "must have samples in each opening, found none in opening 1" in altered(written, change)


def test_what_failed_has_no_samples(written):
    def change(data):
        data["measurements"][0]["failure"] = "out of memory"

    assert "must have [] samples" in altered(written, change)


def test_an_unknown_field(written):
    assert "unknown field 'mood'" in altered(written, lambda data: data.update(mood="calm"))


def test_what_must_be_known_with_a_report():
    assert report(measurement()).notes() == []
    unsteady = report(measurement(settled=False), interrupted=True)
    assert unsteady.notes() == [
        "still not steady after the warm-up: label, ort-cpu, batch 1, host to host, 2 threads",
        "interrupted: there is less than was asked for",
    ]
    little = replace(CALM, memory_limit=2**31, other_load=0.5)
    lost = report(measurement(), measurement((), failure="out of memory", batch=9), conditions=little)
    assert lost.notes() == [
        "the machine was busy: others used 50% of its 2 cores",
        "the control group allows 2.0 GiB of memory",
    ]
