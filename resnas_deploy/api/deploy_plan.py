"""What a deployment is asked for, checked before any work is done."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.data.source import DEMO
from resnas_deploy.deploying.actions import Planned, Surroundings
from resnas_deploy.deploying.deploy import FALLING_BACK, MEASURING
from resnas_deploy.deploying.planning import plan_artifacts, plan_exports, served_runner
from resnas_deploy.deploying.result import SCHEMA, Asked, Candidate, Deployment, ServiceLevel
from resnas_deploy.deploying.sources import Sources, find_sources
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.precision import QUANTISED
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.installed import require_client, server_here
from resnas_deploy.version import __version__

NO_SERVER = (
    "no server is installed here, so no load test was run: what it answers within the level is not measured; "
    "`triton.load()` does that where there is one, or give `server`"
)
Calibrating = tuple[str, int | None]  # images to learn ranges from, and how many of them; "", None: the usual


@dataclass(frozen=True)
class Plan:
    """A deployment that may begin."""

    asked: Asked
    sources: Sources
    planned: tuple[Planned, ...]
    here: Surroundings
    calibration: Calibrating
    server: str  # the program; empty: this environment's

    def folder(self, out: Path) -> Path:
        """Return the folder of the run. Raise `BadInput` where a server would take it for a model."""
        repository = Path(self.asked.repository).resolve()
        if repository in (out.resolve(), *out.resolve().parents):
            raise BadInput(
                f"`out` must lie outside of the repository {self.asked.repository}, found {out}; choose another"
            )
        return out

    def described(self) -> Deployment:
        """Return the document of the plan: nothing is done."""
        asked = self.asked
        minutes = {
            f"export {each.name}": FALLING_BACK * asked.minutes
            for each in self.planned
            if each.precision in QUANTISED and not each.left_out and not each.artifact
        }
        minutes["measure"] = MEASURING * asked.minutes
        if self.here.server:
            minutes["load tests"] = (1 - MEASURING) * asked.minutes
        return Deployment(
            schema=SCHEMA,
            version=__version__,
            machine=self.here.machine,
            asked=asked,
            candidates=tuple(
                Candidate(each.name, each.precision, str(each.artifact or ""), left_out=each.left_out)
                for each in self.planned
            ),
            load_tested=False,
            notes=() if self.here.server else (self.here.no_server,),
            planned=minutes,
        )


def ask(
    given: Sequence[str | Path | Artifact],
    *,
    repository: Path,
    p99: float | None,
    demand: float | None,
    arch: str | Path | ArchSpec | None,
    subnet: str | Path,
    precisions: Sequence[str],
    data: str,
    max_drop: float,
    calibration: Calibrating,
    runner: str,
    name: str,
    minutes: float,
    threads: int,
    server: str,
) -> Plan:
    """Check what is asked for. Raise `BadInput`, `NotAvailable`."""
    require_client()
    if p99 is None:
        raise BadInput("`p99` must be given, the time that 99 of 100 answers must come within, found none; such as 50")
    level = ServiceLevel(p99, demand)
    if not 0 < minutes < math.inf:
        raise BadInput(f"`budget` must be more than 0 minutes, found {minutes:g}")
    if repository.exists() and not repository.is_dir():
        raise BadInput(f"`repository` must be a folder, found the file {repository}; choose another")
    kind = served_runner(runner)
    if data and data != DEMO and not Path(data).is_dir():
        raise BadInput(f"`data` must be demo or a folder with train/ and val/, found no folder {data}")
    sources = find_sources(given, arch, subnet)
    if sources.artifacts:
        named, images = calibration
        for what, value in (("precisions", precisions), ("calibration", named), ("calibration_images", images)):
            if value:
                raise BadInput(
                    f"`{what}` must be of what is exported, found artifacts, which have theirs; leave it out"
                )
        planned = plan_artifacts(sources.artifacts, kind.name, data)
    elif data and sources.checkpoint is None:
        raise BadInput(
            "`data` must come with trained weights, found untrained ones, whose accuracy is chance: leave it out, or "
            "deploy a checkpoint"
        )
    else:
        planned = plan_exports(precisions, kind.name, data)
    if all(each.left_out for each in planned):
        found = "; ".join(f"{each.name}: {each.left_out}" for each in planned)
        raise BadInput(f"there must be a candidate that can be served, found none ({found})")
    asked = Asked(
        sources=sources.names,
        digest=sources.digest,
        name=ModelSettings(name or sources.name).name,
        repository=str(repository),
        level=level,
        precisions=tuple(each.precision for each in planned),
        runner=kind.name,
        threads=threads or usable_cores(),
        minutes=minutes,
        data=data,
        max_drop=max_drop,
    )
    program = _program(server)
    export_of = [sources.digest, kind.name, data, max_drop, *calibration, FALLING_BACK * minutes, __version__]
    here = Surroundings(
        machine=this_machine(usable_cores()),
        server=program or server_here(),
        no_server=NO_SERVER,
        export_of=json.dumps(export_of),
    )
    return Plan(asked, sources, tuple(planned), here, calibration, program)


def _program(server: str) -> str:
    """Return the whole name of the command that serves; nothing where none is named. Raise `BadInput`."""
    if not server:
        return ""
    if (found := shutil.which(server)) is None:
        raise BadInput(f"`server` must be the command resnas of an environment with a server, found none at {server}")
    return str(Path(found).absolute())
