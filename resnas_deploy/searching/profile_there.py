"""A profile that is measured on a node of a Ray cluster, and kept here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.measuring.latency.elsewhere import setup_of
from resnas_deploy.measuring.latency.packed import packed, unpacked
from resnas_deploy.measuring.latency.profile import PROFILE, Profile, Profiler, profile
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.measuring.latency.store import Kept, LatencyStore, usual_store
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.device_node import DeviceNode


@dataclass(frozen=True)
class AskedSetup:
    """A setup as it is asked for, which the node that it is for makes."""

    runner: str
    precision: str
    batch: int
    threads: int
    device: str


@dataclass(frozen=True)
class _Measured:
    content: bytes  # as `packed` returns it
    measured_now: int
    seconds: float
    notes: tuple[str, ...]


def profile_there(
    node: DeviceNode,
    space: SearchSpace,
    asked: AskedSetup,
    store: Path,
    networks: int | None = None,
    progress: Progress = silent,
) -> Profile:
    """Measure networks of a space on the node, keep them in the store here, and fit the model of all that it has.

    The node keeps them too, in its user's own store: a profiling that was stopped goes on there.
    """
    found = node.run(_measure, space, asked, networks, progress=progress)
    kept = unpacked(found.content, "what the node measured")
    setting = kept[0].setting
    with LatencyStore(store) as opened:
        opened.add_all(kept)
        model = Profiler(opened, space, setup_of(setting), setting).model()
    return Profile(**vars(model), measured_now=found.measured_now, seconds=found.seconds, notes=found.notes)


def _measure(space: SearchSpace, asked: AskedSetup, networks: int | None) -> _Measured:
    """Profile on this node. Ray calls it there."""
    store = usual_store()
    found = profile(space, choose_setup(**vars(asked)), store, networks)
    with LatencyStore(store, create=False) as opened:
        measured = tuple(opened.networks(found.setting, space, PROFILE))
    content = packed([Kept(found.setting, space, PROFILE, 0, measured)])
    return _Measured(content, found.measured_now, found.seconds, found.notes)
