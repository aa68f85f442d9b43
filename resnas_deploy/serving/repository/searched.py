"""How a model is served at the setting of most throughput that `bench()` found for its graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput, called, shown
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.report import read_report
from resnas_deploy.measuring.throughput.found import BestSetting, ThroughputSearch
from resnas_deploy.serving.repository.settings import MAX_INSTANCES, MAX_THREADS, Batching

RUNNER = "ort-cpu"  # what the backends python and onnxruntime run a graph with on a CPU
_WAIT = 0.1  # of a batch's own time
_MOST_MS = 1e9  # of a batch


@dataclass(frozen=True)
class SearchedSetting:
    """What a search says of serving a model."""

    best: BestSetting
    latency_limit_ms: float | None
    machine: Machine  # that it was measured on

    @property
    def batching(self) -> Batching:
        """Return the batch as the preferred one, and how long a request may wait for others.

        Triton gives a free instance what is there (its guide "Batchers", Delayed Batching): the first of the clients
        that come again after a batch would run alone. A tenth of a batch's time is enough for the others to come too,
        and little beside what they wait for. With a latency limit it is no more than what 99 of 100 batches leave.
        """
        if self.best.batch == 1:
            return Batching()
        wait_ms = _WAIT * self.best.batch_p50_ms
        if self.latency_limit_ms is not None:
            wait_ms = min(wait_ms, max(0.0, self.latency_limit_ms - self.best.batch_p99_ms))
        return Batching((self.best.batch,), round(1000 * wait_ms))

    def notes(self, name: str, here: Machine) -> list[str]:
        """Say what is taken, and where it was measured on another machine, a line each."""
        best, wait = self.best, self.batching.queue_delay_us / 1000
        instances, threads = ("" if number == 1 else "s" for number in (best.streams, best.threads))
        taken = f"{best.streams} instance{instances} of {best.threads} thread{threads}, batches of {best.batch}"
        found = [
            f"{name} has {taken}, and a request waits {wait:.1f} ms at most for others; measured with "
            f"{best.images_per_second.value:.1f} images/s, {best.batch_p99_ms:.1f} ms a batch (p99)"
        ]
        if differences := here.differences(self.machine):
            found.append(f"that was measured on another machine: {'; '.join(differences)}")
        return found


def read_setting(result: Path, artifact: Artifact) -> SearchedSetting:
    """Read the best setting of that very graph on ONNX Runtime's CPU from a result of `bench()`. Raise `BadInput`."""
    report = read_report(result)
    again = called("bench", artifacts=str(artifact.folder), streams="auto", runners=RUNNER, out="..")
    if report.throughput is None:
        raise BadInput(f"{result} must hold a setting that was searched, found a report without; make one by: {again}")
    own = [search for search in report.throughput if search.digest == artifact.digest]
    if not own:
        found = ", ".join(dict.fromkeys(shown(search.label) for search in report.throughput)) or "none"
        raise BadInput(
            f"{result} must hold a setting of {artifact.folder}, found those of {found}; make one by: {again}"
        )
    served = [search for search in own if search.runner == RUNNER]
    if not served:
        found = ", ".join(dict.fromkeys(search.runner for search in own))
        raise BadInput(
            f"the setting must be of a runner that Triton serves a graph with, {RUNNER}, found {found} in {result}; "
            f"make one by: {again}"
        )
    return _checked(served[0], report.machine, result)


def _checked(search: ThroughputSearch, machine: Machine, result: Path) -> SearchedSetting:
    best = search.best
    if best is None:
        raise BadInput(f"{result} must hold a best setting of {search.label}, found a search that ended without one")
    for what, found, most in (("streams", best.streams, MAX_INSTANCES), ("threads", best.threads, MAX_THREADS)):
        if not 1 <= found <= most:
            raise BadInput(f"{result} must have from 1 to {most} {what} in its best setting, found {found}")
    for took in (best.batch_p50_ms, best.batch_p99_ms):
        if not 0 < took <= _MOST_MS:
            raise BadInput(
                f"{result} must tell a batch's time, of up to {_MOST_MS:g} ms, found {took:g}; measure it again"
            )
    return SearchedSetting(best, search.latency_limit_ms, machine)


def check_alone(**given: object) -> None:
    """Raise `BadInput` where something is given beside a setting that says it."""
    for name, value in given.items():
        if value not in (None, "", False):
            found = "both" if value is True else shown(value)
            raise BadInput(f"`{name}` must be left out with `setting`, which says it, found {found}; leave one out")
