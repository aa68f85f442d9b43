"""The library's words as the command line's."""

from __future__ import annotations

import shlex

import pytest

from resnas_deploy.cli.words import spoken
from resnas_deploy.errors import called


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("`max_latency` must be a time", "--max-latency must be a time"),
        ("make it by `triton.export()` or `bench()`", "make it by resnas triton export or resnas bench"),
        ("see `profile()`", "see resnas latency profile"),
        ("`images` must be there", "IMAGES.. must be there"),
        ("a `Mixed Case` or `two words` stays", "a `Mixed Case` or `two words` stays"),
        ("run: `latency.check(space='small', batch=8)`", "run: resnas latency check --space small --batch 8"),
        ("run: `latency.check(space='sm ..", "run: `latency.check(space='sm .."),  # what was shortened
        ("run: `latency.check(space=x)`", "run: `latency.check(space=x)`"),
    ],
)
def test_a_message_names_options_and_commands(message, said):
    assert spoken(message) == said


@pytest.mark.parametrize(
    "value", ["a folder/it's.sqlite", 'quoted "twice"', "$HOME; ls", "back\\slash", "plain", 0.5, 3]
)
def test_a_call_is_a_command_that_a_shell_takes(value):
    words = shlex.split(spoken(called("bench", store=value, max_drop=2, force=True)))
    assert words == ["resnas", "bench", "--store", str(value), "--max-drop", "2", "--force"]
