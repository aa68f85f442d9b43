"""The command `resnas`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from resnas_deploy import __version__
from resnas_deploy.cli.archs import archs
from resnas_deploy.cli.bench import bench
from resnas_deploy.cli.export import export
from resnas_deploy.cli.importing import import_
from resnas_deploy.cli.inspect import inspect
from resnas_deploy.cli.predict import predict
from resnas_deploy.cli.runners import runners
from resnas_deploy.cli.verify import verify
from resnas_deploy.errors import ResnasError

app = typer.Typer(
    name="resnas",
    help="Export ViT-ResNAS networks to verified ONNX artifacts, run them and measure them.\n\n"
    "Start with: resnas export --arch small",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 2 bad input or usage; 3 verification failed; 5 something is not installed here.",
)
app.command()(archs)
app.command()(runners)
app.command(name="import")(import_)
app.command()(inspect)
app.command()(export)
app.command()(verify)
app.command()(predict)
app.command()(bench)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"resnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    del version  # its callback did the work


def main() -> None:
    """Run the command line. An error of ours is one line on stderr and its exit code, never a traceback."""
    try:
        app()
    except ResnasError as error:
        typer.echo(f"resnas: {' '.join(str(error).split())}", err=True)
        sys.exit(error.exit_code)
