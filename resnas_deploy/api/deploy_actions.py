"""What a deployment has others do, by the functions of this API: a command is what a person would type."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api import triton
from resnas_deploy.api.bench import bench
from resnas_deploy.api.build import build
from resnas_deploy.api.deploy_plan import Calibrating
from resnas_deploy.api.export import export
from resnas_deploy.api.verify import verify
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.manifest import Accuracy
from resnas_deploy.artifact.written_for import FOR_RUNNERS
from resnas_deploy.deploying.actions import Made, Placed
from resnas_deploy.deploying.load_document import read_load
from resnas_deploy.deploying.result import Asked, LoadLevel, ServingSetting
from resnas_deploy.deploying.sources import Sources
from resnas_deploy.errors import BadInput, VerificationFailed, shortened
from resnas_deploy.exporting.quantise import DEFAULT_DROP
from resnas_deploy.files.reading import parse_json
from resnas_deploy.measuring.report import Report
from resnas_deploy.precision import QUANTISED
from resnas_deploy.progress import Progress
from resnas_deploy.runners.registry import runner_kind

_LEVEL_S = 2.0  # of each rate that a server is asked at; longer where that gives too few answers
_TOLD_S = 2.0  # between two signs of life of such a test
_MOST_S = 900.0  # that a load test by another environment's command may take


@dataclass(frozen=True)
class ApiActions:
    """The actions of a deployment, as this API does them."""

    asked: Asked
    sources: Sources
    arch: str | Path | ArchSpec | None
    subnet: str | Path
    calibration: Calibrating
    server: str  # the command of another environment; empty: this one

    def export(self, precision: str, out: Path, minutes: float, progress: Progress) -> Made:
        """Export a candidate, with an engine where that is what is served."""
        quantised = precision in QUANTISED
        target = runner_kind(self.asked.runner).engine
        made = export(
            self.arch or None,
            out,
            checkpoint=self.sources.checkpoint,
            subnet=self.subnet,
            precision=precision,
            target=target or "onnx",
            for_runner=self.asked.runner if precision == "int8" and self.asked.runner in FOR_RUNNERS else "",
            calibration=(self.calibration[0] or None) if quantised else None,
            calibration_images=self.calibration[1] if quantised else None,
            data=self.asked.data if quantised else "",
            max_drop=self.asked.max_drop if quantised else DEFAULT_DROP,
            fallback_minutes=minutes if quantised else 60.0,
            force=True,
            threads=self.asked.threads,
            progress=progress,
        )
        return Made(open_artifact(out), made.built.engine.path if made.built else None)

    def open(self, artifact: Path, progress: Progress) -> Made:
        """Open an artifact, measure its accuracy where nobody has, and build its engine where one is served."""
        found = open_artifact(artifact)
        verified = found.manifest.verification
        accuracy: Accuracy | None = None
        if found.precision in QUANTISED and not (verified and verified.accuracy):
            accuracy = verify(
                found, data=self.asked.data, max_drop=self.asked.max_drop, threads=self.asked.threads, progress=progress
            ).verification.accuracy
        elif verified and verified.accuracy and verified.accuracy.drop > self.asked.max_drop:
            raise VerificationFailed(
                f"{artifact} loses more than `max_drop` {self.asked.max_drop:g}: {verified.accuracy}"
            )
        target = runner_kind(self.asked.runner).engine
        built = build(found, target=target, progress=progress) if target else None
        return Made(found, built.engine.path if built else None, accuracy)

    def check_fits(self, made: Made, repository: Path) -> None:
        """Raise `BadInput` where the model is in the repository already, and takes or gives something else."""
        from resnas_deploy.serving.repository.contents import check_interface  # imports tritonclient

        check_interface(made.artifact.manifest, repository / self.asked.name)

    def measure(self, made: Sequence[Made], limit_ms: float, minutes: float, progress: Progress) -> Report:
        """Search the best setting of each candidate, and measure it beside one session with every thread."""
        return bench(
            [each.served if each.engine else each.artifact for each in made],
            runners=[self.asked.runner],
            streams="auto",
            minutes=minutes,
            latency_limit=limit_ms,
            threads=self.asked.threads,
            progress=progress,
        )

    def place(self, made: Made, repository: Path, setting: ServingSetting, bench: Path, progress: Progress) -> Placed:
        """Add a candidate to a repository in a setting: with what the search says of batches where that is its best."""
        on_gpu = self.asked.runner != "ort-cpu"
        if setting.searched and not on_gpu:
            added = triton.export([made.served], repository, name=self.asked.name, setting=bench, progress=progress)
        else:
            added = triton.export(
                [made.served],
                repository,
                name=self.asked.name,
                gpu=on_gpu,
                instances=setting.instances,
                threads=setting.threads,
                max_batch=setting.batch,
                progress=progress,
            )
        (version,) = added.versions
        return Placed(version.folder.parent, version.version, added.notes)

    def check(self, repository: Path, progress: Progress) -> None:
        """Compare what the candidate's configuration claims with what would be served."""
        triton.check(repository, threads=self.asked.threads, progress=progress)

    def load(self, repository: Path, progress: Progress) -> tuple[float, tuple[LoadLevel, ...]]:
        """Serve a repository, by this environment or by another's command, and search the most that keeps the level."""
        if self.server:
            return self._load_elsewhere(repository, progress)
        found = triton.load(
            repository,
            model=self.asked.name,
            seconds=_LEVEL_S,
            p99=self.asked.level.p99_ms,
            progress=progress,
        )
        found.check_complete()
        return read_load(found.to_json(), "the load test")

    def _load_elsewhere(self, repository: Path, progress: Progress) -> tuple[float, tuple[LoadLevel, ...]]:
        """Have another environment's command serve and ask it: it ends by itself, and with this process."""
        words = ["triton", "load", str(repository), "--model", self.asked.name, "--seconds", f"{_LEVEL_S:g}"]
        try:
            done = _run(
                [self.server, *words, "--p99", f"{self.asked.level.p99_ms:.6f}ms", "--json"],
                lambda: progress(f"by {self.server}"),
            )
        except OSError as error:
            raise BadInput(f"`server` must be a command that runs, found {self.server}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise BadInput(
                f"the load test by {self.server} must end within {_MOST_S:g} s, found that it did not"
            ) from None
        if done.returncode:
            said = shortened(" ".join(done.stderr.split()[-60:]) or "nothing", 400)
            raise BadInput(f"the load test by {self.server} must succeed, found exit code {done.returncode}: {said}")
        return read_load(parse_json(done.stdout, f"what {self.server} printed"), f"what {self.server} printed")


def _run(command: Sequence[str], still_there: Callable[[], object]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and say every few seconds that it runs: it may be all that is heard for minutes."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8") as ran:
        try:
            for _ in range(int(_MOST_S / _TOLD_S)):
                still_there()
                with suppress(subprocess.TimeoutExpired):
                    out, err = ran.communicate(timeout=_TOLD_S)
                    return subprocess.CompletedProcess(command, ran.returncode, out, err)
            raise subprocess.TimeoutExpired(command, _MOST_S)
        except BaseException:
            ran.kill()  # which leaving the block waits for
            raise
