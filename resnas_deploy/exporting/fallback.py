"""Parts of a quantised graph that go back to the precision around, until the graph is as accurate as it must be.

The parts (`units`) whose quantisation adds most to the error are left out of it: one, then two, four, .. at most half
of them, each time ordered by the errors of the graph that just failed; then fewer again, by bisection. So it takes few
verifications, of which each may take minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
from onnx import inliner

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting.divergence import probe, with_probes
from resnas_deploy.exporting.scheme import HALVES, known_units
from resnas_deploy.exporting.unquantised import Unquantised
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.precision import relative_error
from resnas_deploy.progress import Progress, headed
from resnas_deploy.runners.base import Images, Options, Outputs
from resnas_deploy.runners.kind import RunnerKind

MOST_SHARE = 0.5  # of the units: a graph of which more is kept is hardly one of the precision that was asked for


@dataclass(frozen=True)
class FallingBack:
    """The search for the units to keep. `verify` raises `VerificationFailed` where a graph is not accurate enough."""

    made_of: Unquantised
    verify: Callable[[Artifact, Progress], Verification]
    kind: RunnerKind
    threads: int
    minutes: float  # after which no further graph is verified
    progress: Progress
    clock: Callable[[], float] = time.monotonic

    def find(self, artifact: Artifact, failed: VerificationFailed) -> Artifact:
        """Return the artifact with as few units kept as were found to be enough, verified.

        Raise the `VerificationFailed` that it began with, and what was tried, where half of the units are not enough,
        where keeping any helps nothing, and where time is up; then the artifact's file is again what it was.
        """
        units, started = self.made_of.units, self.clock()
        most = int(len(units) * MOST_SHARE)
        if not self.minutes or not most or not curable(failed):
            raise failed
        current, short, found = artifact, 0, None
        kept: list[str] = []
        while found is None:
            wanted = min(max(1, 2 * len(kept)), most)
            kept += _first(self.errors(current), kept, wanted)
            current, found, error = self._attempt(artifact, kept)
            if error:
                if len(kept) >= most or not curable(error):
                    self._give_up(artifact, failed, kept, f"the most that may be, {most} of {len(units)}")
                if self._out_of_time(started):
                    self._give_up(artifact, failed, kept, f"within {self.minutes:g} minutes")
                short = len(kept)
        enough = len(kept)
        while enough - short > 1 and not self._out_of_time(started):
            middle = (short + enough) // 2
            current, verified, _ = self._attempt(artifact, kept[:middle])
            if verified:
                enough, found = middle, verified
            else:
                short = middle
        last = self.made_of.write(artifact, kept[:enough])
        return replace(last, manifest=replace(last.manifest, verification=found))

    def _attempt(
        self, artifact: Artifact, kept: Sequence[str]
    ) -> tuple[Artifact, Verification | None, VerificationFailed | None]:
        around, of = self.made_of.scheme.around, len(self.made_of.units)
        heading = f"{len(kept)} of {of} elements kept in {around}: "
        self.progress(f"{heading}quantising without {', '.join(kept)}")
        written = self.made_of.write(artifact, kept)
        try:
            return written, self.verify(written, headed(heading, self.progress)), None
        except VerificationFailed as error:
            return written, None, error

    def errors(self, artifact: Artifact) -> Mapping[str, float]:
        """Return what each unit adds to the error, in order: that after it less that before it.

        Errors are those of the quantised graph's values against those of its twin in float32, on the inputs that
        graphs are verified with, as in `Verification.element_errors`, but of both halves of a block.
        """
        images = verification_inputs(artifact.manifest.preprocessing, input_named(artifact.input)).images
        batch = artifact.manifest.batch.nearest(len(images))
        images = images[np.arange(batch) % len(images)]
        points = {point_of(unit): unit for unit in known_units(artifact.arch)}
        wanted, found = (
            self._values(artifact, path, list(points), images) for path in (self.made_of.twin, artifact.model)
        )
        added: dict[str, float] = {}
        before = 0.0
        for point, unit in points.items():
            after = relative_error(found[point], wanted[point])
            added[unit] = after - before
            before = after
        return {unit: error for unit, error in added.items() if unit in self.made_of.units}

    def _values(self, artifact: Artifact, graph: Path, names: list[str], images: Images) -> Outputs:
        """Return values of a graph of the artifact, by name."""
        probed = with_probes(inliner.inline_local_functions(onnx.load(graph)), names)
        with open_runner(self.kind, artifact, Options(self.threads, probed.SerializeToString())) as runner:
            found = runner.run(images)
        return {name: found[probe(name)] for name in names}

    def _give_up(self, artifact: Artifact, failed: VerificationFailed, kept: Sequence[str], how: str) -> NoReturn:
        """Write the graph that was asked for again, and raise what it failed with, and what was tried."""
        self.made_of.write(artifact, ())
        around = self.made_of.scheme.around
        raise VerificationFailed(
            f"{failed}; nor was it enough to keep {', '.join(kept)} in {around} ({how}); "
            f"export with `precision` {around}",
            failed.report,
        ) from None

    def _out_of_time(self, started: float) -> bool:
        return self.clock() - started >= 60 * self.minutes


def curable(failed: VerificationFailed) -> bool:
    """Tell whether a graph that is quantised in fewer places may pass where this one failed.

    Not where values leave the range of the type around, nor where the accuracy itself shows nothing.
    """
    report = failed.report
    return (
        isinstance(report, Verification)
        and not (report.own and report.own.beyond)
        and not (report.accuracy and report.accuracy.problem)
    )


def point_of(unit: str) -> str:
    """Return the value in the graph that a unit's last node writes: of a block's halves, what they are added to."""
    block, _, half = unit.rpartition(".")
    if half not in HALVES:
        return unit
    return f"{unit}.add" if half == HALVES[0] else block


def _first(errors: Mapping[str, float], kept: Sequence[str], wanted: int) -> list[str]:
    """Return as many more units to keep as are wanted in all: those that add most to the error, in order."""
    others = sorted((unit for unit in errors if unit not in kept), key=lambda unit: -errors[unit])
    return others[: wanted - len(kept)]
