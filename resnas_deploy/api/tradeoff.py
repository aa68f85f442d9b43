"""The paper's comparison on this machine: accuracy as published against what each network costs here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.artifact.artifact import Artifact, open_artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import write_text
from resnas_deploy.measuring.peer_specs import PEERS
from resnas_deploy.measuring.peers import check_peer_precision
from resnas_deploy.measuring.tradeoff.charts import families, figures_table, sources_table
from resnas_deploy.measuring.tradeoff.contenders import YOURS, contenders, read_top1
from resnas_deploy.measuring.tradeoff.measuring import DOCUMENT, measure_tradeoff
from resnas_deploy.measuring.tradeoff.page import page
from resnas_deploy.measuring.tradeoff.picture import picture
from resnas_deploy.measuring.tradeoff.result import Asked
from resnas_deploy.measuring.tradeoff.result import Tradeoff as Measured
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import default_runner, runner_kind

PAGE, PICTURE = "index.html", "tradeoff.svg"


@dataclass(frozen=True)
class Tradeoff(Tabular):
    """What was measured, beside the top-1 that each paper says. `measured` has all of it, typed."""

    measured: Measured
    out: Path

    @property
    def document(self) -> Path:
        """Where the JSON document is, raw samples included."""
        return self.out / DOCUMENT

    @property
    def page(self) -> Path:
        """Where the page is that shows it."""
        return self.out / PAGE

    @property
    def picture(self) -> Path:
        """Where the picture is, for a README."""
        return self.out / PICTURE

    @property
    def interrupted(self) -> bool:
        """Whether there is less than was asked for: the same call goes on."""
        return self.measured.interrupted

    def to_json(self) -> dict[str, object]:
        """Return what tradeoff.json holds."""
        return self.measured.to_json()

    def table(self) -> Table:
        """Return images a second, a row for each network."""
        return figures_table(self.measured)

    def sources(self) -> Table:
        """Return where each top-1 comes from."""
        return sources_table(self.measured)

    def notes(self) -> list[str]:
        """Say what must be known with the figures, a line each."""
        return self.measured.notes()


@checked
def tradeoff(
    out: str | Path,
    *,
    networks: Sequence[str] = (),
    runners: Sequence[str] = (),
    batches: Sequence[int] = (1, 16),
    precisions: Sequence[str] = ("fp32",),
    artifacts: Sequence[str | Path | Artifact] = (),
    top1: Sequence[str] = (),
    runs: int = 9,
    openings: int = 3,
    threads: int = 0,
    device: str = "",
    progress: Progress = silent,
) -> Tradeoff:
    """Measure our networks and those of other papers, and draw published top-1 against MACs and measured throughput.

    The published networks have untrained weights, on which no time hangs, and the top-1 of their papers, which is not
    measured here. Everything is timed interleaved, in parts; the folder keeps what is done, and the graphs (about 5 GB
    for all networks in two precisions): the same call goes on where one was stopped, and takes the graphs again.

    Args:
        out: the folder for tradeoff.json, index.html, tradeoff.svg and graphs/: a new one, or one that is to go on.
        networks: tiny, small, medium, deit-small, ..; all of them where none is given.
        runners: names of runtimes; the first that can run the precisions where none is named.
        batches: sizes.
        precisions: fp32, fp16, bf16, int8: of the published networks. In int8 all are quantised alike.
        artifacts: your own networks, measured beside, each in its own precision.
        top1: per cent, of artifacts by the names of their folders, such as mine=81.2; that of a quantised one's
            manifest where none is given.
        runs: timed runs of each configuration, over all openings.
        openings: times that every runtime is opened anew.
        threads: of the CPU; 0 takes every core.
        device: cpu, cuda or cuda:N; the runner's usual one where none is given.
        progress: told what is being done, and about how long it still takes.

    Ctrl-C ends it early, and the result says so. Raise `BadInput` for what is wrong, for a folder of something else or
    in use, `NotAvailable` where a runtime or a package is missing, `StorageError` where the folder cannot be written.
    """
    opened = list({each.source: each for each in map(_apart, map(open_artifact, artifacts))}.values())
    taking_part = contenders(networks, opened, read_top1(top1), PEERS)
    wanted = tuple(dict.fromkeys(precisions))
    if not wanted or not batches:
        raise BadInput(f"there must be `precisions` and `batches`, found {len(wanted)} and {len(batches)}")
    for precision in wanted:
        check_peer_precision(precision)
    if runners:
        kinds = tuple(runner_kind(name, "`runners`") for name in dict.fromkeys(runners))
    else:
        kinds = (default_runner(*wanted, *(artifact.precision for artifact in opened), device=device),)
    asked = Asked(
        contenders=taking_part,
        runners=tuple(kind.name for kind in kinds),
        precisions=wanted,
        batches=tuple(dict.fromkeys(batches)),
        runs=runs,
        openings=openings,
        threads=threads or usable_cores(),
        device=device,
    )
    own = [each.name for each in taking_part if each.family == YOURS]
    folder = Path(out)

    def finish(found: Measured) -> None:
        write_text(folder / PAGE, page(found).html(), replace=True)
        if families(found):
            write_text(folder / PICTURE, picture(found), replace=True)

    return Tradeoff(
        measure_tradeoff(asked, dict(zip(own, opened, strict=True)), folder, progress, finish, PEERS), folder
    )


def _apart(artifact: Artifact) -> Artifact:
    """Return an artifact by its whole path where a published network has its name: figures go by their source."""
    named = artifact.source in PUBLISHED or artifact.source in PEERS
    return replace(artifact, folder=artifact.folder.absolute()) if named else artifact
