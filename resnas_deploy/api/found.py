"""What a search found, and the end of a search whose finalists another machine measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from resnas_deploy.api.artifact import Artifact
from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.errors import BadInput
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching import finalists as room
from resnas_deploy.searching import result as results
from resnas_deploy.searching.costs import LATENCY
from resnas_deploy.searching.finalists import finalists_of
from resnas_deploy.searching.found import Found, read_found
from resnas_deploy.searching.measured import Measured
from resnas_deploy.searching.measured import measure as measure_finalists
from resnas_deploy.searching.tables import finalist_table

if TYPE_CHECKING:
    from resnas_deploy.api.export import Exported


@dataclass(frozen=True)
class Finalist(room.Finalist):
    """A subnet that a search found: its `artifact`, its `checkpoint`, `measured_ms`, and what was predicted."""

    def export(self, out: str | Path, **options: Any) -> Exported:
        """Export it again, in another precision or for an engine; see `resnas_deploy.export`, whose options these are.

        The weights are those that it inherits from the supernet.
        """
        from resnas_deploy.api.export import export

        return export(out=out, checkpoint=self.checkpoint, **options)

    @classmethod
    def of(cls, finalist: room.Finalist) -> Self:
        """Return a finalist with the methods of this class, and its artifact with those of `Artifact`."""
        return cls(**vars(finalist) | {"artifact": Artifact.of(finalist.artifact)})


@dataclass(frozen=True)
class SearchResult(results.SearchResult, Tabular):
    """What a search found: `best` has the `artifact`, the `checkpoint` and `measured_ms`, as all `finalists` have."""

    @classmethod
    def of(cls, result: results.SearchResult) -> Self:
        """Return a result with the methods of this class, as its finalists have those of theirs."""
        given = {id(item): Finalist.of(item) for item in result.finalists}
        chosen = given[id(result.chosen)] if result.chosen else None
        return cls(**vars(result) | {"finalists": tuple(given.values()), "chosen": chosen})

    @property
    def best(self) -> Finalist:
        """Return the winner: the most accurate of the finalists that were measured within the limits.

        Raise `BadInput` where none was, or they are to be measured on another machine first.
        """
        if missed := self.missed():
            raise missed
        if self.chosen is None:
            raise BadInput(
                f"finalists must be measured on {self.machine} before one is chosen, found none that was; run "
                "`search.measure()` there, then `search.finish()` here"
            )
        return Finalist.of(self.chosen)

    @property
    def winner(self) -> Finalist:
        """Return the same as `best`."""
        return self.best

    def to_json(self) -> dict[str, object]:
        """Return what `resnas search --json` prints."""
        return {
            "out": str(self.out),
            "arch": self.chosen.artifact.arch.to_json() if self.chosen else None,
            "evaluated": len(self.evaluated.candidates),
            "stopped_early": self.evaluated.stopped,
            "images_scored": self.evaluated.images,
            "predictor": [asdict(check) for check in self.evaluated.checks],
            "machine": self.machine,
            "measured": len(self.measured),
            "keeping_limits": len(self.keeping),
            "within_limit_as_measured": self.within_limit,
            "finalists": [self._finalist(item) for item in self.finalists],
        }

    def _finalist(self, item: room.Finalist) -> dict[str, object]:
        names = [f"predicted_{cost.name}" if cost.name == LATENCY else cost.name for cost in self.costs]
        exported = {"top1_as_exported": item.exported.top1} if item.exported else {}
        return {
            "artifact": item.artifact.source,
            "fingerprint": item.artifact.arch.fingerprint,
            "top1_held_out": item.candidate.score.accuracy,
            **exported,
            **dict(zip(names, item.candidate.costs, strict=True)),
            "measured_latency": item.measured_ms,
            "keeps_limits": item.keeps_limits if item.measurement else None,
        }

    def table(self) -> Table:
        """Return a row for each finalist; predicted and measured latency are apart."""
        found, rows = self.evaluated, finalist_table(self.finalists, self.costs)
        title = (
            f"{len(found.candidates)} subnets of the space {self.space} evaluated, {found.stopped} not to the end, "
            f"on {found.images:,} images in all"
        )
        return Table(title, rows[0], rows[1:])


@dataclass(frozen=True)
class MeasuredFinalists(Tabular):
    """What the finalists of a search took on this machine."""

    out: Path
    found: Found
    measured: Measured
    finalists: tuple[Finalist, ...]

    @property
    def notes(self) -> list[str]:
        """Say what may have disturbed the measurements, a line each."""
        return self.measured.notes(self.found.setting)

    @property
    def within_limit(self) -> bool:
        """Tell whether one keeps the limits."""
        return any(item.measurement and item.keeps_limits for item in self.finalists)

    def to_json(self) -> dict[str, object]:
        """Return what `resnas search measure --json` prints, which is what `measured.json` holds."""
        return self.measured.to_json()

    def table(self) -> Table:
        """Return a row for each finalist."""
        rows = finalist_table(self.finalists, self.found.costs)
        return Table(f"Finalists of the space {self.found.space}, {self.measured.setting}", rows[0], rows[1:])


@checked
def measure(found: str | Path, *, force: bool = False, on: str = "", progress: Progress = silent) -> MeasuredFinalists:
    """Measure the finalists of a search on this machine, which is the one that the search was for.

    Args:
        found: the search's folder, or a copy of it. `measured.json` is written into it.
        force: measure again what `measured.json` has.
        on: `ray:RESOURCE` or `ray:RESOURCE@ADDRESS`: measure on the one node of that Ray cluster (the one in
            RAY_ADDRESS) that has that custom resource.
        progress: told what is being done.

    Neither PyTorch nor the supernet nor images are needed here, only the runner. Finalists are measured some at a time,
    until one keeps the limits.

    Raise `BadInput` where this is another machine than the search was for, and where an artifact is not the one that it
    wrote; `NotAvailable` where the runner is not here. Another version of the runtime is in `notes`.
    """
    folder = Path(found)
    if on:
        from resnas_deploy.searching.device_node import DeviceNode
        from resnas_deploy.searching.measured_there import measure_there

        measured = measure_there(DeviceNode.parse(on), folder, progress, again=force)
    else:
        measured = measure_finalists(folder, progress, again=force)
    asked = read_found(folder)
    return MeasuredFinalists(folder, asked, measured, tuple(map(Finalist.of, finalists_of(folder, asked, measured))))


@checked
def finish(found: str | Path, *, measured: str | Path | None = None, progress: Progress = silent) -> SearchResult:
    """Take in what another machine measured of a search's finalists, and choose the winner.

    Args:
        found: the search's folder. `arch.json`, `checkpoint.safetensors` and the report are written into it.
        measured: the file that `search.measure` wrote there; `measured.json` in the folder where none is named.
        progress: told what is being done.

    Raise `BadInput` for figures of other artifacts, or of another setting or machine than the search was for.
    """
    from resnas_deploy.searching.finish import finish as take_in

    return SearchResult.of(take_in(Path(found), Path(measured) if measured else None, progress))
