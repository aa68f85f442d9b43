"""A profile of another machine: which one is meant, and the model of it. Nothing of its runtime need be installed here.

What a runtime's version changes is not known before it is measured, so a profile of another version than the one that
is installed here is never taken unasked (`Profiler.model`). Of a machine that is named, the latest profile is taken,
and it is said which versions there were beside it, or that it is of another one than this very machine has by now.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.errors import BadInput, first_few, shown
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import PROFILE, regression_of
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import LatencyStore, Profiled
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.devices import parse_device
from resnas_deploy.runners.registry import default_runner, runner_kind

_FIELD = "latency_of"
_HOW = "`latency.machines()` lists what there is"


@dataclass(frozen=True)
class Elsewhere:
    """A profile as it is asked for: of which machine, and as much of its setting as tells it from others."""

    machine: str  # its name, or as much of its beginning as no other one has
    precision: str
    batch: int
    runner: str = ""  # "": the only one that was profiled
    threads: int = 0  # 0: the only number that was profiled
    device: str = ""  # "": the only one that was profiled

    def setup(self) -> Setup:
        """Return the setup as far as it is known before the profile is found. Nothing need be installed for it."""
        kind = runner_kind(self.runner, "`runner`") if self.runner else default_runner(self.precision)
        return Setup(kind, self.precision, self.batch, self.threads, self.device)


@dataclass(frozen=True)
class FoundModel:
    """A model of another machine, and what is to be said about it."""

    model: LatencyModel
    notes: tuple[str, ...]


def model_of(asked: Elsewhere, space: SearchSpace, store: Path) -> FoundModel:
    """Return the model of a space on a machine that was profiled. Raise `BadInput`, which lists what there is."""
    with LatencyStore(store, create=False) as opened:
        chosen = choose(asked, space, opened.profiled(), store)
        latest = max(chosen, key=lambda item: item.latest)
        setting = latest.setting
        measured = opened.networks(setting, space, PROFILE)
    model = LatencyModel(space, setup_of(setting), setting, regression_of(measured))
    return FoundModel(model, tuple(_notes(latest, chosen)))


def batches_of(asked: Elsewhere, space: SearchSpace, store: Path) -> list[int]:
    """List the batch sizes at which a machine was profiled in what else is asked for, ascending; `asked.batch` if none.

    Raise `BadInput` for an unknown machine.
    """
    with LatencyStore(store, create=False) as opened:
        profiled = opened.profiled()
    machine = machine_named(asked.machine, (item.setting.machine for item in profiled), _FIELD)
    there = [item.setting for item in profiled if item.space.fingerprint == space.fingerprint]
    found = {item.batch for item in there if item.machine == machine and _fits(replace(asked, batch=item.batch), item)}
    return sorted(found) or [asked.batch]


def setup_of(setting: Setting) -> Setup:
    """Return the setup that a setting is of, wherever it can run. Raise `BadInput` for a runner that nobody knows."""
    kind = runner_kind(setting.runner, "the runner of a profile")
    return Setup(kind, setting.precision, setting.batch, setting.threads, setting.device)


def machine_named(name: str, machines: Iterable[str], field: str) -> str:
    """Return the machine of that name, or the only one whose name begins so. Raise `BadInput`, which lists them all."""
    known = sorted(set(machines))
    if name in known:
        return name
    found = [machine for machine in known if name and machine.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise BadInput(f"`{field}` must name one machine, found {shown(name)}, which begins {first_few(found, 9)}")
    there = f"there are: {first_few(known, 9)}" if known else "there are none: `latency.unpack()` brings them"
    raise BadInput(f"`{field}` must be a machine that was profiled, found {shown(name)}; {there}")


def choose(asked: Elsewhere, space: SearchSpace, profiled: Sequence[Profiled], store: Path) -> list[Profiled]:
    """Return the profiles that are meant, which differ in the runtime's version alone. Raise `BadInput`."""
    machine = machine_named(asked.machine, (item.setting.machine for item in profiled), _FIELD)
    there = [item for item in profiled if item.setting.machine == machine]
    of_space = [item for item in there if item.space.fingerprint == space.fingerprint]
    wanted = f"{store} must hold a profile of the space {space.name} at {space.image_size} pixels on {machine}"
    if not of_space:
        spaces = sorted({f"{item.space.name} at {item.space.image_size}" for item in there})
        raise BadInput(f"{wanted}, found {first_few(spaces)}; profile it there, or {_HOW}")
    fitting = [item for item in of_space if _fits(asked, item.setting)]
    if not fitting:
        asked_for = ", ".join(filter(None, (asked.runner, asked.precision, f"batch {asked.batch}", asked.device)))
        threads = f", {asked.threads} threads" if asked.threads else ""
        raise BadInput(f"{wanted} in {asked_for}{threads}, found {_settings(of_space)}; {_HOW}")
    if len({_apart_from_version(item.setting) for item in fitting}) > 1:
        raise BadInput(
            f"there must be one profile that fits, found {_settings(fitting)}; "
            "choose by `runner`, `threads` or `device`"
        )
    return fitting


def _fits(asked: Elsewhere, setting: Setting) -> bool:
    if asked.runner not in ("", setting.runner) or asked.threads not in (0, setting.threads):
        return False
    if asked.device and parse_device(asked.device) != setting.device:
        return False
    return (asked.precision, asked.batch) == (setting.precision, setting.batch)


def _apart_from_version(setting: Setting) -> tuple[str, str, int]:
    return setting.runner, setting.device, setting.threads


def _settings(items: Sequence[Profiled]) -> str:
    return first_few(list(dict.fromkeys(f"{item.setting}, {item.setting.device}" for item in items)), 9)


def _notes(latest: Profiled, others: Sequence[Profiled]) -> Iterable[str]:
    setting = latest.setting
    earlier = sorted({item.setting.version for item in others} - {setting.version})
    if earlier:
        yield (
            f"the profile is of {setting.version}, the latest of {setting.machine}; "
            f"there is one of {', '.join(earlier)} too, which is not looked at"
        )
    kind = runner_kind(setting.runner)
    if not this_machine(usable_cores()).is_called(setting.machine) or kind.problem(setting.device):
        return  # what is installed here says nothing of that machine
    if (here := kind.version()) != setting.version:
        yield f"the profile is of {setting.version}, and {here} is installed here: what differs is not known"
