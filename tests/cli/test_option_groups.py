"""A group of options: its commands take, default and explain them as if each had them for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from resnas_deploy.cli.option_groups import with_groups


@dataclass(frozen=True)
class Place:
    """Two options, of which one must be given."""

    out: Annotated[str, typer.Option(help="Where to.")]
    count: Annotated[int, typer.Option(help="How many.", min=1)] = 3


@pytest.fixture
def run():
    app, got = typer.Typer(), []

    @app.command()
    @with_groups
    def first(name: str, place: Place, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
        """Say what the first does."""
        got.append((name, place, loud))

    @app.command()
    @with_groups
    def second(place: Place) -> None:
        got.append(place)

    def call(*arguments):
        done = CliRunner().invoke(app, list(arguments))
        return done.exit_code, done.output, got

    return call


def test_a_command_gets_the_group_as_one_value(run):
    assert run("first", "x", "--out", "y", "--loud") == (0, "", [("x", Place("y"), True)])
    assert run("second", "--count", "5", "--out", "z")[2][-1] == Place("z", 5)


def test_an_option_of_a_group_is_checked_like_any_other(run):
    for arguments, said in ((["--out", "y", "--count", "0"], "--count"), ([], "--out"), (["--out", "y", "-x"], "-x")):
        code, output, got = run("second", *arguments)
        assert code == 2
        assert said in output
        assert not got


def test_the_help_has_every_option_in_its_place(run):
    code, output, _ = run("first", "--help")
    assert code == 0
    assert "Say what the first does." in output
    assert output.index("--out") < output.index("--count") < output.index("--loud")
    assert "[default: 3]" in output
