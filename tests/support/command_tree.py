"""Every command of the command line, with its function and its options."""

from __future__ import annotations

import typer

from resnas_deploy.cli.app import app


def commands(group: typer.Typer, *above: str):
    """Every command below a group: the words that call it, and its function."""
    for found in group.registered_commands:
        name = found.name or found.callback.__name__.rstrip("_").replace("_", "-")
        yield " ".join((*above, name)), found.callback
    for found in group.registered_groups:
        yield from commands(found.typer_instance, *above, found.typer_instance.info.name)


COMMANDS = dict(commands(app))


def options(command) -> set[str]:
    """The options and arguments of a command of typer's, and of those below it, as they are written."""
    found = set[str]()
    for parameter in command.params:
        is_option = parameter.opts[0].startswith("-")
        found |= set(parameter.opts) if is_option else {parameter.metavar or parameter.name.upper()}
    for below in getattr(command, "commands", {}).values():
        found |= options(below)
    return found


OPTIONS = options(typer.main.get_command(app))
