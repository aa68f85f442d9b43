"""The command `resnas`."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy import __version__
from resnas_deploy.cli.archs import archs
from resnas_deploy.cli.bench import bench
from resnas_deploy.cli.build import build
from resnas_deploy.cli.compare import compare
from resnas_deploy.cli.export import export
from resnas_deploy.cli.gate import gate
from resnas_deploy.cli.importing import import_
from resnas_deploy.cli.inspect import inspect
from resnas_deploy.cli.kernels import kernels
from resnas_deploy.cli.latency import latency
from resnas_deploy.cli.output import complain
from resnas_deploy.cli.predict import predict
from resnas_deploy.cli.runners import runners
from resnas_deploy.cli.search import search
from resnas_deploy.cli.train import train
from resnas_deploy.cli.triton import triton
from resnas_deploy.cli.verify import verify
from resnas_deploy.errors import BadInput, ResnasError
from resnas_deploy.user_folders import stand_in
from resnas_deploy.workplace import sweep

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended; typer returns it

app = typer.Typer(
    name="resnas",
    help="Export ViT-ResNAS networks to verified ONNX artifacts, run them and measure them.\n\n"
    "Start with: resnas export --arch small",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 2 bad input or usage; 3 verification failed; 4 slower than the baseline; "
    "5 something is not installed here.",
)
app.command()(archs)
app.command()(runners)
app.command(name="import")(import_)
app.command()(inspect)
app.command()(export)
app.command()(build)
app.command()(kernels)
app.command()(verify)
app.command()(predict)
app.command()(bench)
app.command()(compare)
app.command()(gate)
app.add_typer(latency)
app.add_typer(train)
app.command()(search)
app.add_typer(triton)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"resnas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, metavar="", help="Print the version and stop."
        ),
    ] = False,
) -> None:
    del version  # its callback did the work


def main() -> None:
    """Run the command line and exit. An error is one line on stderr and its exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the name of a file may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    stand_in()
    sweep()
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(prog_name="resnas", standalone_mode=False)
    except ResnasError as error:
        complain(str(error))
        return error.exit_code
    except typer.TyperException as error:  # wrong usage
        if message := error.format_message():  # empty where the help was printed instead
            command = getattr(getattr(error, "ctx", None), "command_path", "resnas")
            complain(f"{message.rstrip('.')}; see: {command} --help")
        return error.exit_code
    except OSError as error:  # of files that no command treats on its own: a name too long, a full disk behind stdout
        complain(f"{error.filename or _unnamed()} cannot be read or written: {error.strerror or error}")
        return BadInput.exit_code
    except MemoryError:
        complain("this needs more memory than there is; use a smaller network, image size or batch")
        return BadInput.exit_code
    if code == INTERRUPTED:
        complain("interrupted")
    return code or 0


def _unnamed() -> str:
    """What an error is of that names no file."""
    try:
        Path.cwd()
    except OSError:
        return "the current folder, which was removed,"
    return "the output"
