"""A deployment: export, measure, try with a server, choose, write, check; the report says why.

The repository is touched when all that may fail is done: every candidate that is tried has a repository of its own in
the run's folder.
"""

from __future__ import annotations

import filecmp
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnas_deploy.artifact.artifact import ENGINES, open_artifact
from resnas_deploy.deploying.actions import Actions, Made, Placed, Planned, Surroundings
from resnas_deploy.deploying.choosing import SHARE, choose, nearest, settings_for
from resnas_deploy.deploying.kept import ExportStep, Kept, LoadStep, MeasureStep, made_of
from resnas_deploy.deploying.page import page_of
from resnas_deploy.deploying.result import (
    SCHEMA,
    Asked,
    Candidate,
    Chosen,
    Deployment,
    LoadTested,
    ServingSetting,
)
from resnas_deploy.errors import BadInput, NotAvailable, VerificationFailed
from resnas_deploy.files.outputs import claiming
from resnas_deploy.measuring.report import Report, read_report
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Progress, headed
from resnas_deploy.version import __version__

MEASURING = 0.4  # of the minutes; load tests have the rest
FALLING_BACK = 0.3  # of the minutes: that an export may look for what it must not quantise
_REMEDY = "give `resume` to go on with it, or choose another `out`"


def deploy(
    asked: Asked,
    planned: Sequence[Planned],
    here: Surroundings,
    actions: Actions,
    out: Path,
    progress: Progress,
    *,
    resume: bool = False,
) -> Deployment:
    """Find what serves a level best, add it to the repository, and write and return the report.

    Where nothing keeps the level the repository stays as it is, and `Deployment.chosen` is None. Raise `BadInput` where
    nothing can be tried, or the folder is another's or in use, `StorageError`, and what the actions raise.
    """
    with claiming(out, resume=resume, remedy=_REMEDY), ending_with_us():
        kept = Kept(out)
        kept.begin(asked)
        return _Run(asked, planned, here, actions, kept, progress).all()


@dataclass
class _Run:
    asked: Asked
    planned: Sequence[Planned]
    here: Surroundings
    actions: Actions
    kept: Kept
    progress: Progress
    made: dict[str, Made] = field(default_factory=dict)  # by the candidate's name
    seconds: dict[str, float] = field(default_factory=dict)  # by step
    notes: list[str] = field(default_factory=list)

    def _tell(self, number: int, what: str) -> Progress:
        """Return a listener for a step: exports come first, each one, then measuring, load tests, and writing."""
        parts = len(self.planned) + 2 + bool(self.here.server)
        return headed(f"step {number + 1} of {parts}, {what}: ", self.progress)

    def all(self) -> Deployment:
        candidates = [self._exported(number, each) for number, each in enumerate(self.planned)]
        if not self.made:
            why = "; ".join(f"{each.name}: {each.left_out}" for each in candidates)
            raise BadInput(f"there must be something to deploy, found no candidate that can be served ({why})")
        self.actions.check_fits(next(iter(self.made.values())), Path(self.asked.repository))
        report = self._measured()
        self.notes += [note.replace("`minutes`", "`budget`") for note in report.notes()]
        candidates = [self._with_settings(each, report) for each in candidates]
        if self.here.server:
            candidates = self._loaded(candidates)
        else:
            self.notes.append(self.here.no_server)
        choice = choose(candidates, self.asked.level)
        found = Deployment(
            schema=SCHEMA,
            version=__version__,
            machine=self.here.machine,
            asked=self.asked,
            candidates=tuple(candidates),
            load_tested=bool(self.here.server),
            notes=tuple(dict.fromkeys(self.notes)),
            nearest="" if choice else nearest(candidates, self.asked.level),
        )
        if choice:
            name, setting = choice.offer.candidate.name, choice.offer.setting
            placed = self._placed(name, setting)
            chosen = Chosen(name, setting, choice.why, str(placed.model), placed.version)
            found = replace(found, chosen=chosen, notes=tuple(dict.fromkeys([*found.notes, *placed.notes])))
        found = replace(found, seconds=dict(self.seconds))
        self.kept.finish(found, page_of(found).html())
        return found

    def _exported(self, number: int, planned: Planned) -> Candidate:
        """Export a candidate, or take what an earlier run has exported."""
        if planned.left_out:
            return Candidate(planned.name, planned.precision, "", left_out=planned.left_out)
        if planned.artifact:
            return self._given(number, planned, planned.artifact)
        out, step = self.kept.artifact(planned.name), f"export-{number}"
        of = made_of(precision=planned.precision, rest=self.here.export_of)
        if not (before := self._exported_before(planned, out, step, of)):
            before = self._export(planned, out, (step, of), self._tell(number, f"exporting {planned.name}"))
        self.seconds[f"export {planned.name}"] = before.seconds
        if before.left_out:
            return Candidate(planned.name, planned.precision, "", left_out=before.left_out)
        return self._candidate(planned)

    def _given(self, number: int, planned: Planned, artifact: Path) -> Candidate:
        try:
            self.made[planned.name] = self.actions.open(artifact, self._tell(number, planned.name))
        except (VerificationFailed, NotAvailable) as error:
            return Candidate(planned.name, planned.precision, str(artifact), left_out=str(error))
        return self._candidate(planned)

    def _exported_before(self, planned: Planned, out: Path, step: str, of: str) -> ExportStep | None:
        before = self.kept.step(step, ExportStep, of)
        if not before or before.left_out:
            return before
        try:
            artifact = open_artifact(out)
        except BadInput:
            return None
        engine = out / before.engine if before.engine else None
        if artifact.digest != before.digest or (engine and not engine.is_file()):
            return None
        self.made[planned.name] = Made(artifact, engine)
        return before

    def _export(self, planned: Planned, out: Path, kept: tuple[str, str], progress: Progress) -> ExportStep:
        step, of = kept
        started = time.monotonic()
        left_out, digest, engine = "", "", ""
        try:
            made = self.actions.export(planned.precision, out, FALLING_BACK * self.asked.minutes, progress)
        except (VerificationFailed, NotAvailable) as error:
            left_out = str(error)
        else:
            self.made[planned.name] = made
            digest = made.artifact.digest
            engine = f"{ENGINES}/{made.engine.name}" if made.engine else ""
        found = ExportStep(of, time.monotonic() - started, digest, engine, left_out)
        self.kept.add(step, found)
        return found

    def _candidate(self, planned: Planned) -> Candidate:
        made = self.made[planned.name]
        manifest = made.artifact.manifest
        measured = manifest.verification.accuracy if manifest.verification else None
        return Candidate(
            name=planned.name,
            precision=planned.precision,
            artifact=str(made.artifact.folder),
            digest=made.artifact.digest,
            label=manifest.label,
            engine=str(made.engine or ""),
            trained=manifest.provenance.trained,
            accuracy=made.accuracy or measured,
        )

    def _measured(self) -> Report:
        """Measure all candidates beside each other, or take what an earlier run has measured."""
        of = made_of(
            graphs=[made.artifact.digest for made in self.made.values()],
            places=[str(made.served) for made in self.made.values()],
            machine=self.here.machine.to_json(),
            asked=[self.asked.level.p99_ms, self.asked.runner, self.asked.threads, self.asked.minutes],
        )
        before = self.kept.step("measure", MeasureStep, of)
        if before and self.kept.bench.is_file():
            self.seconds["measure"] = before.seconds
            return read_report(self.kept.bench)
        started = time.monotonic()
        report = self.actions.measure(
            list(self.made.values()),
            SHARE * self.asked.level.p99_ms,
            MEASURING * self.asked.minutes,
            self._tell(len(self.planned), "measuring"),
        )
        if report.interrupted:  # which took a Ctrl-C for itself
            raise KeyboardInterrupt
        report.write(self.kept.bench)
        self.seconds["measure"] = time.monotonic() - started
        self.kept.add("measure", MeasureStep(of, self.seconds["measure"]))
        return report

    def _with_settings(self, candidate: Candidate, report: Report) -> Candidate:
        """Return a candidate with all settings of it that were measured in the end."""
        best = next((each.best for each in report.throughput or () if each.digest == candidate.digest), None)
        settings = [
            ServingSetting(
                instances=c.streams,
                threads=c.threads,
                batch=c.batch,
                images_per_second=item.median_throughput.value,
                batch_p50_ms=item.batch_percentile(50),
                batch_p99_ms=item.batch_percentile(99),
                searched=best is not None and best.setting == c.setting,
            )
            for item in report.measurements
            if (c := item.configuration).digest == candidate.digest and candidate.digest and item.samples_s
        ]
        return replace(candidate, settings=tuple(sorted(settings, key=lambda each: not each.searched)))

    def _loaded(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Try candidates with a real server, the fastest first, as long as there is time."""
        found = {each.name: each for each in candidates}
        able = [(settings[0], each) for each in candidates if (settings := settings_for(each, self.asked.level))]
        until = time.monotonic() + (1 - MEASURING) * 60 * self.asked.minutes
        longest = 0.0
        for _, candidate in sorted(able, key=lambda pair: -pair[0].images_per_second):
            loads: list[LoadTested] = []
            for setting in settings_for(candidate, self.asked.level):
                if loads and loads[-1].requests_per_second:
                    break
                step, of = self._load_step(candidate, setting)
                before = self.kept.step(step, LoadStep, of)
                if not before and longest and time.monotonic() + longest > until:
                    break
                done = before or self._load(candidate.name, setting, step, of)
                self.seconds[f"load test {candidate.name}"] = done.seconds
                longest = max(longest, done.seconds)
                loads.append(done.load)
            found[candidate.name] = replace(candidate, loads=tuple(loads))
        return list(found.values())

    def _load_step(self, candidate: Candidate, setting: ServingSetting) -> tuple[str, str]:
        number = [each.name for each in self.planned].index(candidate.name)
        split = [setting.instances, setting.threads, setting.batch]
        of = made_of(
            graph=candidate.digest,
            engine=candidate.engine,
            setting=split,
            machine=self.here.machine.to_json(),
            server=self.here.server,
            p99=self.asked.level.p99_ms,
            runner=self.asked.runner,
        )
        return f"load-{number}-{'-'.join(map(str, split))}", of

    def _load(self, name: str, setting: ServingSetting, step: str, of: str) -> LoadStep:
        started = time.monotonic()
        tell = self._tell(len(self.planned) + 1, f"load test of {name}")
        trial = self._tried(name, setting, tell)
        rate, levels = self.actions.load(trial, tell)
        found = LoadStep(of, time.monotonic() - started, LoadTested(setting, rate, levels))
        self.kept.add(step, found)
        return found

    def _tried(self, name: str, setting: ServingSetting, progress: Progress) -> Path:
        """Make a repository of a candidate alone, and check it."""
        trial = self.kept.trial(name)
        shutil.rmtree(trial, ignore_errors=True)
        self.actions.place(self.made[name], trial, setting, self.kept.bench, progress)
        self.actions.check(trial, progress)
        return trial

    def _placed(self, name: str, setting: ServingSetting) -> Placed:
        """Add the chosen one to the repository, unless it is there already as it would be written."""
        tell = self._tell(len(self.planned) + 1 + bool(self.here.server), f"writing {name}")
        trial = self._tried(name, setting, tell)
        repository = Path(self.asked.repository)
        if there := already_there(trial / self.asked.name, repository / self.asked.name):
            model = repository / self.asked.name
            return Placed(model, there, (f"{model / str(there)} was there already, as it would be written",))
        return self.actions.place(self.made[name], repository, setting, self.kept.bench, tell)


def already_there(trial: Path, model: Path) -> int:
    """Return the newest version of a model where that and its configuration are those of a trial; 0 where not."""
    from resnas_deploy.serving.repository.config import CONFIG  # imports tritonclient
    from resnas_deploy.serving.repository.insertion import versions_of

    versions = versions_of(model)
    if not versions:
        return 0
    mine, newest = trial / "1", model / str(versions[-1])
    pairs = [(trial / CONFIG, model / CONFIG), *((mine / name, newest / name) for name in _files(mine))]
    same = _files(mine) == _files(newest) and all(
        theirs.is_file() and filecmp.cmp(ours, theirs, shallow=False) for ours, theirs in pairs
    )
    return versions[-1] if same else 0


def _files(version: Path) -> list[str]:
    """Return the files of a version: what Python compiled beside them is the server's."""
    return sorted(path.name for path in version.iterdir() if path.is_file())
