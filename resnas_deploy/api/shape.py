"""Shaping a search space for a device: which of its choices are worth having there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.space import LONGEST_NAME, SearchSpace
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.request import attention_named
from resnas_deploy.files.outputs import check_new_file, write_text
from resnas_deploy.files.streams import is_stream
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.progress import Progress, silent
from resnas_deploy.shaping import result
from resnas_deploy.shaping.counted import choose_builder, counts_file
from resnas_deploy.shaping.page import page
from resnas_deploy.shaping.shape import shape_by_kernels, shape_by_time
from resnas_deploy.shaping.text import shaped_text
from resnas_deploy.weights.space_files import space_named


@dataclass(frozen=True)
class Shaped(result.Shaping, Tabular):
    """A space shaped for a device, with what was measured of each choice. `space` is what is left."""

    def to_toml(self) -> str:
        """Return the space as a file, with what became of each choice in comments."""
        return shaped_text(self)

    def plot(self, path: str | Path, *, replace: bool = True) -> None:
        """Write a page (.html) of what each choice costs and what became of it."""
        write_text(Path(path), page(self).html(), replace=replace)


@checked
def shape(
    space: str | Path | SearchSpace = "small",
    *,
    runner: str = "",
    batch: int = 1,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    image_size: int | None = None,
    target: str = "",
    capability: str = "",
    attention: str = "",
    within: float = 1.0,
    openings: int = 4,
    minutes: float = 30.0,
    store: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress = silent,
) -> Shaped:
    """Measure which choices of a search space are worth having on this device, and return the space that is left.

    Each list (widths, heads, head_dims, hidden and mixers of each stage, the stem's widths) is measured for itself, by
    small untrained networks that differ in nothing else and are timed interleaved, in several openings. Beside its own
    values stand the next multiples of 8, 16 and 32, the numbers between its heads, and the mixer global. A value goes
    where a wider one costs no more beyond the noise: the 95% interval of its time over the other's begins at or below 1
    and ends at or below 1.03. The widest such one is added where the space has not got it, and one that is surely had
    for less than all wider ones. What the noise leaves open is kept.

    Whatever is measured is kept in the store as it is: the same call goes on where one was stopped, by Ctrl-C or by the
    end of its minutes, and lists that were not reached stay as they were.

    With `target` nothing is timed: kernels are counted that a compiler makes for devices that are not here, and a value
    goes where a wider one of the space, or between its values, has fewer. As many kernels tell nothing; mixers stay.

    Args:
        space: the name of one of the package, a TOML file, a supernet's checkpoint, or a `SearchSpace`.
        runner: a runtime; the first that can run the precision where none is named.
        batch: images at once; of a `target` the most, and the least is 1.
        precision: fp32, fp16, bf16, int8 or fp8; quantised networks have made-up steps.
        threads: of the CPU; 0 takes every core.
        device: cpu, cuda or cuda:N; the runner's usual one where none is given.
        image_size: pixels a side; the space's own where it is left out.
        target: tensorrt-rtx or tensorrt, to count kernels instead of `runner`.
        capability: compute capabilities such as "8.9,12.0", or portable: 8.6, 8.9 and 12.0; with `target`.
        attention: int8 and fp8 of a `target`: whether the products of attention are "quantised" too or "kept"; as
            `export()` has it where it is left out.
        within: what the widest subnet may cost, as a share of what that of before does.
        openings: times that every network is opened anew.
        minutes: after which nothing more is begun; 0 takes what the store has.
        store: the file that measurements are kept in; the user's own where none is named.
        out: the TOML file to write, which also names the space; none where it is left out, or what was measured is not
            whole for Ctrl-C.
        force: replace a file that is there.
        progress: told what is being done, and how much is left.

    Raise `BadInput` for what is wrong, `NotAvailable` where a runtime or a builder is missing, `StorageError` where
    something cannot be written.
    """
    found = space_named(space)
    if image_size is not None:
        found = found.with_image_size(image_size)
    file = Path(out) if out else None
    if file:
        if file.suffix.lower() != ".toml" and not is_stream(file):
            raise BadInput(f"`out` must end in .toml, as a space's file does, found {file.name}")
        check_new_file(file, replace=force)
    name = (file.stem if file else f"{found.name}-shaped")[:LONGEST_NAME]
    kept = Path(store) if store else usual_store()
    if target:
        builder = choose_builder(target, capability, precision, batch, attention_named(attention))
        refuse = {"runner": runner, "device": device, "threads": threads}
        if given := [f"`{key}`" for key, value in refuse.items() if value]:
            raise BadInput(f"{' and '.join(given)} must not come with `target`, which runs nothing; leave it out")
        shaping = shape_by_kernels(found, builder, counts_file(kept), name=name, minutes=minutes, progress=progress)
    else:
        if capability or attention:
            raise BadInput(
                f"`{'capability' if capability else 'attention'}` must come with `target`, whose kernels are counted, "
                "found none; leave it out, or name a `target`"
            )
        setup = choose_setup(runner, precision, batch, threads, device)
        if setup.kind.engine and not setup.kind.compiles:
            raise BadInput(
                f"`runner` must be one that opens graphs, found {setup.kind.name}, which would build an engine of each "
                "network for minutes; count kernels instead: `target`"
            )
        shaping = shape_by_time(
            found, setup, kept, name=name, openings=openings, within=within, minutes=minutes, progress=progress
        )
    shaped = Shaped(**vars(shaping))
    if file and not shaped.interrupted:
        write_text(file, shaped.to_toml(), replace=force)
    return shaped
