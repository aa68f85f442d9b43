"""The command `resnas`."""

from __future__ import annotations

import os
import shutil
from copy import copy
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from resnas_deploy.cli.archs import archs
from resnas_deploy.cli.bench import bench
from resnas_deploy.cli.build import build
from resnas_deploy.cli.card import card
from resnas_deploy.cli.compare import compare
from resnas_deploy.cli.demo import demo
from resnas_deploy.cli.deploy import deploy
from resnas_deploy.cli.environment import prepare
from resnas_deploy.cli.evaluate import evaluate
from resnas_deploy.cli.export import export
from resnas_deploy.cli.gate import gate
from resnas_deploy.cli.gpu_report import gpu_report
from resnas_deploy.cli.history import history
from resnas_deploy.cli.importing import import_
from resnas_deploy.cli.inspect import inspect
from resnas_deploy.cli.kernels import kernels
from resnas_deploy.cli.latency import latency
from resnas_deploy.cli.narrow import LEAST_COLUMNS, join_lines, narrow
from resnas_deploy.cli.output import complain, notes
from resnas_deploy.cli.predict import predict
from resnas_deploy.cli.progress import QUIET, be_quiet
from resnas_deploy.cli.refit import refit
from resnas_deploy.cli.runners import runners
from resnas_deploy.cli.search import search
from resnas_deploy.cli.search_steps import finish, measure
from resnas_deploy.cli.sign import sign
from resnas_deploy.cli.space import space
from resnas_deploy.cli.streams import READER_GONE, ReaderGone, checked_output
from resnas_deploy.cli.tradeoff import tradeoff
from resnas_deploy.cli.train import train
from resnas_deploy.cli.triton import triton
from resnas_deploy.cli.verify import verify
from resnas_deploy.errors import BadInput, ResnasError
from resnas_deploy.files.user_folders import stand_in
from resnas_deploy.files.workplace import sweep
from resnas_deploy.processes import ending
from resnas_deploy.version import __version__


class _Commands(TyperGroup):
    """Commands of which some have a name of two words, such as `search measure`, beside one of the first, `search`.

    All of them take --quiet, as the whole does: what it does is done here, not in any of them.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        quiet: Any = copy(next(option for option in self.params if option.name == "quiet"))
        quiet.help, quiet.expose_value = "Show no progress.", False
        quiet.callback = lambda _context, _option, asked: _be_quiet(asked)
        _take(self, quiet)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Take two words for a command's name where there is one of that name."""
        if (name := " ".join(args[:2])) in self.commands:
            return name, self.commands[name], args[2:]
        return super().resolve_command(ctx, args)


def _take(group: Any, option: Any) -> None:
    """Have every command take an option, in the place where people type such: at the end."""
    for sub in getattr(group, "commands", {}).values():
        if hasattr(sub, "commands"):
            _take(sub, option)
        else:
            sub.params.append(option)


app = typer.Typer(
    name="resnas",
    cls=_Commands,
    help="Export ViT-ResNAS networks to verified ONNX artifacts, run them and measure them.\n\n"
    "Start with: resnas demo   or: resnas export --arch small",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done; 2 bad input or usage; 3 verification failed; 4 slower than the baseline; "
    "5 something is not installed here.",
)
app.command()(archs)
app.command()(demo)
app.command()(runners)
app.command(name="import")(import_)
app.command()(inspect)
app.command()(export)
app.command()(build)
app.command()(refit)
app.command()(kernels)
app.command()(verify)
app.command()(predict)
app.command()(evaluate)
app.command()(bench)
app.command()(compare)
app.command()(gate)
app.command()(history)
app.command()(tradeoff)
app.command(name="gpu-report")(gpu_report)
app.add_typer(space)
app.add_typer(latency)
app.add_typer(train)
app.command()(search)
app.command(name="search measure")(measure)
app.command(name="search finish")(finish)
app.add_typer(triton)
app.command()(card)
app.command()(sign)
app.command()(deploy)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"resnas {__version__}")
        raise typer.Exit


def _be_quiet(asked: bool) -> None:
    if asked:
        be_quiet(True)


@app.callback()
def _options(
    quiet: Annotated[
        bool, typer.Option("--quiet", metavar="", help="Show no progress; each command takes it too.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, metavar="", help="Print the version and stop."
        ),
    ] = False,
) -> None:
    del version  # its callback did the work
    _be_quiet(quiet)


def main() -> None:
    """Run the command line and exit. An error is one line on stderr and its exit code, never a traceback."""
    ending.leave(ending.run_command(run))


def run() -> int:
    """Run the command line and return its exit code."""
    code = 0
    try:
        with checked_output():
            code = _command()
    except ReaderGone:
        return READER_GONE
    except OSError as error:  # of files that no command treats on its own: a name too long, a full disk behind stdout
        complain(
            f"{ending.speaker()}{error.filename or _unnamed()} cannot be read or written: {error.strerror or error}"
        )
        return code or BadInput.exit_code
    return code


def _unnamed() -> str:
    """Name what an error is of that names no file."""
    try:
        Path.cwd()
    except OSError:
        return "the current folder, which was removed,"
    return "the output"


def _command() -> int:
    try:
        prepare(os.environ)
        be_quiet(os.environ.get(QUIET, "").strip() not in ("", "0"))
        stand_in()
        sweep()
        with notes():
            return _invoke() or 0
    except ResnasError as error:
        if not error.said:
            complain(ending.speaker() + str(error))
        return error.exit_code
    except typer.TyperException as error:  # wrong usage
        if message := error.format_message():  # empty where the help was printed instead
            command = getattr(getattr(error, "ctx", None), "command_path", "resnas")
            complain(f"{message.rstrip('.')}; see: {command} --help")
        return error.exit_code
    except MemoryError:
        complain(f"{ending.speaker()}this needs more memory than there is; use a smaller network, image size or batch")
        return BadInput.exit_code


def _invoke() -> int | None:
    try:
        columns = shutil.get_terminal_size().columns
        command = _tree(columns < LEAST_COLUMNS)
        width = {"terminal_width": columns - 1} if columns < LEAST_COLUMNS else {}  # else plain help has 50 or more
        return command(prog_name="resnas", standalone_mode=False, **width)  # type: ignore[no-any-return]  # it is Any
    except Exception:  # any, since a signal may come in the middle of everything
        ending.raise_if_ended()  # a signal is what it comes from
        raise


@cache  # for whoever runs several commands in one process
def _tree(is_narrow: bool) -> Any:
    app.rich_markup_mode = None if is_narrow else "rich"
    tree = typer.main.get_command(app)
    if is_narrow:
        narrow(tree)
    else:
        join_lines(tree)
    return tree
