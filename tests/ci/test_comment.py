"""The comment of the action, by its script, from a server that answers as GitHub documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support.documented.github import BOT, GitHub, serving
from support.places import ROOT

SCRIPT = ROOT / "resnas-gate" / "comment.py"
PERSON = {"login": "somebody", "type": "User"}
MARK = "<!-- resnas-gate: latency -->"


@pytest.fixture
def github():
    with serving(GitHub()) as found:
        yield found


@pytest.fixture
def comment(github, tmp_path):
    """A function that runs the script for a summary, and returns what it printed."""

    def run(text="### Latency: none slower\n", *, event=None, **more):
        (tmp_path / "summary.md").write_text(text)
        (tmp_path / "event.json").write_text(json.dumps({"pull_request": {"number": 7}} if event is None else event))
        environment = {
            "PATH": os.environ["PATH"],
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_API_URL": github.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "owner/networks",
            "GITHUB_RUN_ID": "42",
            "GATE_NAME": "latency",
            "GATE_SUMMARY": str(tmp_path / "summary.md"),
            "GATE_TOKEN": "a token",
        }
        words = [sys.executable, SCRIPT]
        done = subprocess.run(words, env=environment | more, capture_output=True, text=True, timeout=60, check=True)
        assert done.stderr == ""
        return done.stdout

    return run


def test_one_comment_is_written_and_then_changed(comment, github):
    comment()
    (written,) = github.comments
    assert written["body"].startswith(f"{MARK}\n### Latency: none slower\n")
    assert "(https://github.example/owner/networks/actions/runs/42)" in written["body"]
    comment("### Latency: 1 slower\n")
    assert [each["body"].splitlines()[1] for each in github.comments] == ["### Latency: 1 slower"]
    assert ("PATCH", "/repos/owner/networks/issues/comments/1000") in github.asked


def test_only_our_own_is_changed(comment, github):
    """Not a person's that begins alike, nor another gate's, nor one that quotes ours; beyond a hundred others too."""
    for body, user in ((f"{MARK}\nhaha", PERSON), (f"<!-- resnas-gate: gpu -->\n{MARK}", BOT), (f"> {MARK}", BOT)):
        github.add(body, user)
    for number in range(120):
        github.add(f"talk {number}", PERSON)
    before = [dict(each) for each in github.comments]
    comment()
    assert github.comments[:-1] == before
    comment("changed")
    assert github.comments[:-1] == before
    assert github.comments[-1]["body"].startswith(f"{MARK}\nchanged")


def test_a_persons_token_finds_that_persons(comment, github):
    github.user = PERSON
    github.add(f"{MARK}\nof the bot", BOT)
    comment()
    comment("again")
    assert [each["body"].splitlines()[1] for each in github.comments] == ["of the bot", "again"]


def test_what_is_too_long_is_cut(comment, github):
    comment("x" * 100_000)
    assert len(github.comments[0]["body"]) <= 65_536
    assert github.comments[0]["body"].endswith("and more, in the job's summary")


@pytest.mark.parametrize("change", [{"reads_only": True}, {"token": "another"}, {"moved_to": "http://127.0.0.1:1"}])
def test_a_comment_that_cannot_be_written_is_a_warning(comment, github, change):
    for name, value in change.items():
        setattr(github, name, value)
    said = comment()
    assert said.startswith("::warning::no comment could be written: HTTP Error ")
    assert said.count("\n") == 1
    assert github.comments == []


def test_a_server_that_is_gone_is_a_warning(comment):
    assert comment(GITHUB_API_URL="http://127.0.0.1:1").startswith("::warning::no comment could be written: ")


def test_a_push_has_nothing_to_comment_on(comment, github):
    assert comment(event={"ref": "refs/heads/main"}) == "no pull request to comment on\n"
    assert github.asked == []
