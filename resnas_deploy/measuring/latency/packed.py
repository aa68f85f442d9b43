"""Profiles in one file, to be carried from the machine that was measured to the one that searches.

It is a JSON document with its own sha256, so that one that was cut or edited on the way is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.errors import BadInput, first_few, shown
from resnas_deploy.files import records as record
from resnas_deploy.files.outputs import check_new_file, output_file
from resnas_deploy.files.reading import name_of, read_bytes
from resnas_deploy.files.sealed import SealedFormat
from resnas_deploy.measuring.latency.elsewhere import machine_named
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.latency.store import Kept, LatencyStore, Profiled, check_times
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.version import __version__

SCHEMA = 1
MOST_BYTES = 200_000_000
MOST_NETWORKS = 20_000  # of one file; a profile has about a hundred
_PURPOSES = "profile", "check"
_LONGEST = 200  # characters of a name in a setting
_REMEDY = "pack it again where it was measured: `latency.pack()`"
_FORMAT = SealedFormat("a packed latency profile", "sha256", SCHEMA, _REMEDY)


@dataclass(frozen=True)
class PackedNetworks(Kept):
    """What a file holds of one key."""

    def __post_init__(self) -> None:
        """Raise `BadInput` for what no store would have been given."""
        setting, space = self.setting, self.space.with_classes(1)  # whose number no latency is kept by
        for name in ("machine", "runner", "version", "device"):
            value = getattr(setting, name)
            if not (0 < len(value) <= _LONGEST and value.isprintable()):
                raise BadInput(f"setting.{name} must be 1 to {_LONGEST} printable characters, found {shown(value)}")
        if setting.precision not in PRECISIONS or not 1 <= setting.batch <= MAX_BATCH or setting.threads < 1:
            raise BadInput(f"setting must be of a precision, a batch size and threads, found {shown(str(setting))}")
        if self.purpose not in _PURPOSES or self.repeat < 0:
            raise BadInput(f"purpose must be one of {', '.join(_PURPOSES)}, found {shown(self.purpose)}")
        for number, network in enumerate(self.networks):
            try:
                check_times(network)
            except ValueError as error:
                raise BadInput(f"networks[{number}] must hold times in seconds, found {error}") from None
            if not space.holds(replace(network.arch, classes=1)):
                raise BadInput(
                    f"networks[{number}].arch must be of the space {space.name}, found {network.arch.fingerprint}"
                )


@dataclass(frozen=True)
class PackedProfiles:
    """The file's content, its sha256 aside."""

    schema: int
    resnas: str  # the version that wrote it
    measured: tuple[PackedNetworks, ...]
    DERIVED: ClassVar = {"sha256": str | None}  # of the file alone


@dataclass(frozen=True)
class CarriedProfiles:
    """What was packed, or unpacked."""

    file: Path
    store: Path
    profiles: tuple[Profiled, ...]  # those of checks come with them
    added: int = 0  # networks, those of checks included, that the store did not have; of a packing 0

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "file": str(self.file),
            "store": str(self.store),
            "added": self.added,
            "profiles": [item.to_json() for item in self.profiles],
        }


def packed(several: Sequence[Kept]) -> bytes:
    """Return the file that holds these. Raise `BadInput` for more than one can hold."""
    if (count := sum(len(item.networks) for item in several)) > MOST_NETWORKS:
        raise BadInput(f"a file must hold at most {MOST_NETWORKS} networks, found {count}; choose one `machine`")
    measured = tuple(PackedNetworks(**vars(item)) for item in several)
    return _FORMAT.dump(record.to_json(PackedProfiles(SCHEMA, __version__, measured)))


def unpacked(content: bytes, name: str) -> list[Kept]:
    """Return what a file holds; `name` is what messages call it. Raise `BadInput` for one that was cut or edited."""
    body = record.from_json(PackedProfiles, _FORMAT.read(content, name), name)
    if _FORMAT.dump(record.to_json(body)) != content:  # intact, yet laid out differently
        raise BadInput(f"{name} must be one that resnas wrote, found other line breaks or numbers; {_REMEDY}")
    if not body.measured:
        raise BadInput(f"{name} must hold a profile, found none; {_REMEDY}")
    return [Kept(**vars(item)) for item in body.measured]


def pack(file: Path, store: Path, machine: str = "", space: str = "", *, force: bool = False) -> CarriedProfiles:
    """Write what a store has, or what it has of one machine, or of the spaces of one name, into a file.

    Raise `BadInput` where that is nothing, and what an output raises.
    """
    check_new_file(file, replace=force, field="file")
    with LatencyStore(store, create=False) as opened:
        kept = [item for item in opened.everything() if item.purpose in _PURPOSES]
    if machine:
        named = machine_named(machine, (item.setting.machine for item in kept), "machine")
        kept = [item for item in kept if item.setting.machine == named]
    if not kept:
        raise BadInput(f"{store} must hold a profile, found none; run: `latency.profile()`")
    if space:
        names = sorted({item.space.name for item in kept})
        kept = [item for item in kept if item.space.name == space]
        if not kept:
            raise BadInput(
                f"`space` must be one that was profiled, found {shown(space)}; there are: {first_few(names)}"
            )
    content = packed(kept)
    with output_file(file, replace=force) as partial:
        partial.write_bytes(content)
    return CarriedProfiles(file, store, carried(kept))


def unpack(file: Path, store: Path) -> CarriedProfiles:
    """Keep what a file holds in a store, all of it or nothing. A network that is there already stays as it was.

    Raise `BadInput` for a file that was cut or edited, and what a store raises that cannot be written.
    """
    kept = unpacked(read_bytes(file, MOST_BYTES), name_of(file))
    with LatencyStore(store) as opened:
        added = opened.add_all(kept)
    return CarriedProfiles(file, store, carried(kept), added)


def carried(several: Sequence[Kept]) -> tuple[Profiled, ...]:
    """Return what was measured by setting and space."""
    found: dict[tuple[Setting, str], Profiled] = {}
    for item in several:
        key = item.setting, item.space.fingerprint
        before = found[key].networks if key in found else 0
        found[key] = Profiled(item.setting, item.space, before + len(item.networks) * (item.purpose == "profile"))
    return tuple(found.values())
