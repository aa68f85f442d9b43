"""The machines that a store has profiles of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.measuring.latency.store import LatencyStore, Profiled
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores


@dataclass(frozen=True)
class ProfiledMachines:
    """What a store has: a profile for each machine, setting and space."""

    store: Path
    this_machine: str  # the name of the one that this process runs on
    profiles: tuple[Profiled, ...]
    earlier_name: str = ""  # its name from before instruction sets were looked at

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "store": str(self.store),
            "this_machine": self.this_machine,
            "profiles": [item.to_json() for item in self.profiles],
        }


def machines(store: Path) -> ProfiledMachines:
    """List what was profiled, or brought here. A store that is not there yet has nothing."""
    with LatencyStore(store, create=False) as opened:
        found = opened.profiled()
    here = this_machine(usable_cores())
    return ProfiledMachines(store, here.slug, tuple(found), here.earlier_slug)
