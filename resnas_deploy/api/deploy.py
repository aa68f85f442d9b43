"""Deploying: from a checkpoint, a device and a level of service to a Triton repository, with a report of the choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.quantise import DEFAULT_DROP
from resnas_deploy.progress import Progress, silent

if TYPE_CHECKING:
    from resnas_deploy.deploying.result import Deployment as Found

DEFAULT_MINUTES = 5


@dataclass(frozen=True)
class Deployment(Tabular):
    """What is served now, and what else there would have been. `found` has all of it, typed."""

    found: Found
    out: Path

    @property
    def page(self) -> Path:
        """The page that shows it."""
        return self.out / "report.html"

    @property
    def document(self) -> Path:
        """Where the JSON document is."""
        return self.out / "report.json"

    def to_json(self) -> dict[str, object]:
        """Return what report.json holds."""
        return self.found.to_json()

    def table(self) -> Table:
        """Return a row for each candidate: what it does within the level, its price, and why it was not chosen."""
        from resnas_deploy.deploying.tables import candidates_table, plan_table

        return plan_table(self.found) if self.found.planned else candidates_table(self.found)

    def verdict(self) -> str:
        """Say in a line what is served and why."""
        from resnas_deploy.deploying.tables import verdict

        return verdict(self.found)

    def notes(self) -> list[str]:
        """Say what must be known with it, a line each."""
        return list(self.found.notes)

    def check(self) -> None:
        """Raise `BadInput`, which names the nearest that there is, where nothing keeps the level."""
        if self.found.chosen is None and not self.found.planned:
            raise BadInput(
                f"the level must be kept by something, found that {self.verdict()}; raise `p99`, deploy a smaller "
                f"network, or measure again, to another `out`; the repository is as it was, and {self.page} has what "
                "was measured"
            )


@checked
def deploy(
    sources: str | Path | Artifact | Sequence[str | Path | Artifact] = (),
    *,
    repository: str | Path,
    p99: float | None = None,
    demand: float | None = None,
    arch: str | Path | ArchSpec | None = None,
    subnet: str | Path = "",
    precisions: Sequence[str] = (),
    data: str | Path = "",
    max_drop: float = DEFAULT_DROP,
    calibration: str | Path | None = None,
    calibration_images: int | None = None,
    runner: str = "",
    name: str = "",
    budget: float = DEFAULT_MINUTES,
    threads: int = 0,
    server: str | Path = "",
    out: str | Path | None = None,
    resume: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Deployment:
    """Export a network in several precisions, measure them, and add what serves a level best to a Triton repository.

    Each candidate's best setting is searched (instances, threads of each, batch), and checked in a repository of its
    own; where a server is installed, a load test asks it. The best is what needs the fewest machines for the
    demand, of several the widest precision; without a demand, what answers most within the level.

    Args:
        sources: a checkpoint, or the folder of a search or of training that has one; or artifacts of one network,
            which are taken as they are.
        repository: the model repository to add to, which is made where there is none.
        p99: milliseconds that 99 of 100 answers must come within.
        demand: requests a second, each of one image, that machines are counted for.
        arch: without a checkpoint, a published name or a file: its weights are untrained. With one, what that holds.
        subnet: a `network_def`, or a file with one: slice this subnet out of the checkpoint of a supernet.
        precisions: to try; where none is given fp32 and int8 on a CPU, fp16 and others on a GPU.
        data: labelled images to compare the accuracy of int8 and fp8 on, which are not tried without: demo, or a
            folder with train/ and val/.
        max_drop: int8 and fp8: percentage points of top-1 that may be lost.
        calibration: int8 and fp8: images to learn ranges from; built-in ones where none are given.
        calibration_images: how many of them; 128 where no number is given.
        runner: what serves it: ort-cpu, ort-cuda or tensorrt; the first of a GPU that is here, else ort-cpu.
        name: the model's; that of the checkpoint or the artifact where none is given.
        budget: minutes that measuring and load tests may take together, about.
        threads: of the CPU, for all instances together; 0 takes every core.
        server: the command `resnas` of an environment that has a server, where this one has none.
        out: the folder of the report and of what is made for it; NAME-deployment where none is given.
        resume: go on with what is in that folder: nothing is made twice.
        dry_run: say what would be tried, and how long that may take; nothing is written.
        progress: told what is being done.

    Where nothing keeps the level, the repository stays as it is and the result's `check` raises. Raise `BadInput` for
    what is wrong or does not go together, `NotAvailable` where a runtime is missing, `VerificationFailed` where what
    was written does not hold what it claims.
    """
    from resnas_deploy.api.deploy_actions import ApiActions
    from resnas_deploy.api.deploy_plan import ask

    given = [sources] if isinstance(sources, str | Path | Artifact) else list(sources)
    plan = ask(
        given,
        repository=Path(repository),
        p99=p99,
        demand=demand,
        arch=arch,
        subnet=subnet,
        precisions=precisions,
        data=str(data),
        max_drop=max_drop,
        calibration=(str(calibration or ""), calibration_images),
        runner=runner,
        name=name,
        minutes=budget,
        threads=threads,
        server=str(server),
    )
    folder = plan.folder(Path(out or f"{plan.asked.name}-deployment"))
    if dry_run:
        return Deployment(plan.described(), folder)
    from resnas_deploy.deploying.deploy import deploy as run

    actions = ApiActions(plan.asked, plan.sources, arch, subnet, plan.calibration, plan.server)
    return Deployment(run(plan.asked, plan.planned, plan.here, actions, folder, progress, resume=resume), folder)
