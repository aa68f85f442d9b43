"""Documents that hold their own hash: every change is seen, and what is wrong is said in a line."""

from __future__ import annotations

import json

import pytest
from support.checks import refusal

from resnas_deploy.files.sealed import SealedFormat

FORMAT = SealedFormat("a list", "list_sha256", 2, "make it again")
BODY = {"schema": 1, "items": ["K\u00e4fer", "\ud800", 1.5, None]}
CONTENT = FORMAT.dump(BODY)


def test_what_is_written_is_read_back():
    assert FORMAT.read(CONTENT, "a.json") == BODY
    assert FORMAT.dump(dict(reversed(BODY.items()))) == CONTENT
    assert CONTENT.isascii()


@pytest.mark.parametrize("place", range(0, len(CONTENT), 3))
def test_a_changed_byte_is_seen_or_changes_no_value(place):
    changed = CONTENT[:place] + bytes([CONTENT[place] ^ 1]) + CONTENT[place + 1 :]
    try:
        same = json.loads(changed) == json.loads(CONTENT)
    except ValueError:
        same = False
    if same:  # a blank became another
        assert FORMAT.read(changed, "a.json") == BODY
    else:
        assert refusal(lambda: FORMAT.read(changed, "a.json")).startswith("a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "a.json must be JSON, found something else"),
        (b"[]", "a.json must be a list, a JSON object with a schema number; make it again"),
        (b'{"schema": true}', "a.json must be a list, a JSON object with a schema number; make it again"),
        (FORMAT.dump({"schema": 3}), "a.json must have schema 2 or less, found 3; use a newer resnas"),
        (b'{"schema": 1}', "a.json was changed after it was written; make it again"),
        (b'{"schema": 1, "a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "a.json "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_none_of_ours_is_refused(content, said):
    assert refusal(lambda: FORMAT.read(content, "a.json")).startswith(said)
