"""Profiles of other machines: list what there is, and carry it from one machine to another in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.measuring.latency import machines as listing
from resnas_deploy.measuring.latency import packed as packing
from resnas_deploy.measuring.latency.store import usual_store


@dataclass(frozen=True)
class ProfiledMachines(listing.ProfiledMachines, Tabular):
    """The machines that a store has profiles of, this one marked."""

    def table(self) -> Table:
        """Return a row for each machine, setting and space."""
        head = ("machine", "setting", "space", "pixels", "networks")
        rows = [
            (
                item.setting.machine + self._mark(item.setting.machine),
                f"{item.setting}, {item.setting.device}",
                item.space.name,
                str(item.space.image_size),
                str(item.networks),
            )
            for item in self.profiles
        ]
        return Table(f"Profiled machines of {self.store}", head, rows, text_columns=3)

    def _mark(self, machine: str) -> str:
        if machine == self.this_machine:
            return " (this one)"
        return " (this one, its instruction set untold)" if machine == self.earlier_name else ""


@dataclass(frozen=True)
class CarriedProfiles(packing.CarriedProfiles, Tabular):
    """What a file of profiles holds; after `unpack`, `added` networks of it are new to the store."""

    def table(self) -> Table:
        """Return a row for each machine, setting and space."""
        head = ("machine", "setting", "space", "networks")
        rows = [
            (item.setting.machine, f"{item.setting}, {item.setting.device}", item.space.name, str(item.networks))
            for item in self.profiles
        ]
        return Table(f"Profiles of {self.file}", head, rows, text_columns=3)


@checked
def machines(*, store: str | Path | None = None) -> ProfiledMachines:
    """List what was profiled, here or elsewhere: machine, setting, space, and the number of networks.

    A machine's name is what `search(latency_of=..)` takes; as much of its beginning as no other one has is enough.

    Raise `BadInput` for a store that is none.
    """
    return ProfiledMachines(**vars(listing.machines(_store(store))))


@checked
def pack(
    file: str | Path,
    *,
    machine: str = "",
    space: str = "",
    store: str | Path | None = None,
    force: bool = False,
) -> CarriedProfiles:
    """Write profiles into one file, to be carried to the machine that searches: all that the store has.

    Or those of one `machine` alone, or of the spaces of one name. The file holds its own sha256 and all that a search
    needs, its spaces too; `force` replaces one that is there.

    Raise `BadInput` where there is nothing to carry; `StorageError` where the file cannot be written.
    """
    return CarriedProfiles(**vars(packing.pack(Path(file), _store(store), machine, space, force=force)))


@checked
def unpack(file: str | Path, *, store: str | Path | None = None) -> CarriedProfiles:
    """Take the profiles of a file into a store, all of them or none. What is there already stays as it was.

    Raise `BadInput` for a file that was cut or edited; `StorageError` where the store cannot be written.
    """
    return CarriedProfiles(**vars(packing.unpack(Path(file), _store(store))))


def _store(path: str | Path | None) -> Path:
    return Path(path) if path else usual_store()
