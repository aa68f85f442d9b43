"""What the commands of `resnas latency` share: their options, and what these mean."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.options import DeviceOption, RunnerOption, Threads, complete, threads_or_all
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.user_folders import data_folder

if TYPE_CHECKING:
    from resnas_deploy.arch.space import SearchSpace
    from resnas_deploy.measuring.latency.campaign import Bench
    from resnas_deploy.measuring.latency.store import Setting

SPACE_NAMES = ("tiny", "small", "demo")
PRECISION_NAMES = ("fp32", "fp16", "bf16")

Space = Annotated[
    str,
    typer.Option(
        help="The search space: tiny, small (in which the paper's small and medium are), or demo, of small images.",
        metavar="NAME",
        autocompletion=complete(SPACE_NAMES),
    ),
]
Precision = Annotated[
    str, typer.Option(help="fp32, fp16 or bf16.", metavar="NAME", autocompletion=complete(PRECISION_NAMES))
]
Batch = Annotated[int, typer.Option(help="The batch size.", metavar="N", min=1, max=MAX_BATCH)]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        help="The file that measurements are kept in.",
        metavar="FILE",
        show_default="latency.sqlite in the user's data folder",
    ),
]


@dataclass(frozen=True)
class SetupOptions:
    """The options that say how networks are timed, and where what was measured is kept."""

    runner: RunnerOption = ""
    batch: Batch = 1
    precision: Precision = "fp32"
    threads: Threads = 0
    device: DeviceOption = ""
    store: StoreOption = None


def bench_and_setting(setup: SetupOptions) -> tuple[Bench, Setting]:
    """Where and how to measure. Raises `BadInput`, `NotAvailable`."""
    from resnas_deploy.measuring.latency.campaign import Bench
    from resnas_deploy.measuring.machine.description import this_machine
    from resnas_deploy.precision import precision_named
    from resnas_deploy.runners.registry import default_runner, runner_kind

    precision, device = setup.precision, setup.device
    precision_named(precision)  # networks are measured as they are emitted, with no calibration
    kind = runner_kind(setup.runner) if setup.runner else default_runner(precision, device=device)
    kind.check(precision, device)
    bench = Bench(kind, precision, setup.batch, threads_or_all(setup.threads), device)
    return bench, bench.setting(this_machine(threads_or_all(0)).slug)


def space_named(name: str) -> SearchSpace:
    """The search space of that name. Raises `BadInput` that lists the known ones."""
    from resnas_deploy.arch.space import SPACES

    if name not in SPACES:
        raise BadInput(f"--space must be one of {', '.join(SPACES)}, found {shown(name)}")
    return SPACES[name]


def store_path(path: Path | None) -> Path:
    """The store that was named, or the user's. Raises `BadInput` for a user without a home."""
    if path:
        return path
    if (folder := data_folder()) is None:
        raise BadInput(
            "measurements are kept in the user's data folder, found neither a home nor XDG_DATA_HOME; "
            "name a file: --store"
        )
    return folder / "latency.sqlite"


def options_of(setting: Setting, setup: SetupOptions) -> str:
    """The options that name a setting, and those of its place that were given."""
    named = {"runner": setting.runner, "precision": setting.precision, "batch": setting.batch}
    given = {"threads": setup.threads, "device": setup.device, "store": setup.store}
    options = named | {name: value for name, value in given.items() if value}
    return "".join(f" --{name} {shlex.quote(str(value))}" for name, value in options.items())
