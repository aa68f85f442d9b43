"""Finalists by rounds: the next ones are needed only where none of those before keeps the limits as measured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.precision import QUANTISED
from resnas_deploy.progress import Progress, silent, within
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import LATENCY
from resnas_deploy.searching.exported import Exporter
from resnas_deploy.searching.found import Found, FoundAnchor, FoundFinalist, Searched, read_found
from resnas_deploy.searching.iterations import EvaluatedSubnets, SearchProblem
from resnas_deploy.searching.measured import MEASURED, Measured, measure_waiting, read_measured, waiting
from resnas_deploy.searching.measured_limits import MeasuredLimit

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rounds:
    """Exports the finalists of a search into its folder, with `found.json`, as many as turn out to be needed."""

    problem: SearchProblem
    evaluated: EvaluatedSubnets
    exporter: Exporter
    setting: Setting  # that they are measured in
    limits: tuple[MeasuredLimit, ...]
    together: int  # of a round
    most: int  # of all rounds
    anchor: FoundAnchor | None = None  # that they are measured beside
    _unfit: set[Subnet] = field(default_factory=set, repr=False)  # whose graphs, quantised, are wrong

    def measured_here(self, progress: Progress = silent) -> tuple[Found, Measured]:
        """Export and measure a round after the other, until one keeps the limits or there are no more."""
        found = self._extended(self._there(), self.together, progress)
        measured = measure_waiting(self.exporter.folder, found, self._measured_there(found), progress)
        while len(found.finalists) < self._most and not _any_keeps(found, measured):
            count = min(len(found.finalists) + self.together, self._most)
            longer = self._extended(found.finalists, count, progress, slower=self._slower(found, measured))
            if len(longer.finalists) == len(found.finalists):
                break
            _log.warning("none of %d finalists keeps the limits as measured; going on", len(found.finalists))
            found = longer
            measured = measure_waiting(self.exporter.folder, found, measured, progress)
        return found, measured

    def for_elsewhere(self, progress: Progress = silent) -> tuple[Found, Measured | None]:
        """Export all rounds at once, for a machine that can be asked once; and what it has measured, if it has."""
        found = self._extended(self._there(), self._most, progress)
        measured = self._measured_there(found)
        return found, None if waiting(found, measured) else measured

    @property
    def _most(self) -> int:
        return max(self.most, self.together) if self.limits else self.together

    def _there(self) -> tuple[FoundFinalist, ...]:
        """Return the finalists that a run before this one has written, as far as they are whole."""
        folder = self.exporter.folder
        kept = list[FoundFinalist]()
        try:
            found = read_found(folder)
            same = self._document(found.finalists) == replace(found, together=self.together)
            for item in found.finalists if same else ():
                item.opened(folder)
                kept.append(item)
        except BadInput:  # none, a damaged one, or one of another search: what is missing is written again
            pass
        return tuple(kept)

    def _measured_there(self, found: Found) -> Measured | None:
        try:
            return read_measured(self.exporter.folder / MEASURED, found)
        except BadInput:
            return None

    def _extended(
        self, there: Sequence[FoundFinalist], count: int, progress: Progress, *, slower: float = 1.0
    ) -> Found:
        """Export more finalists, until there are so many; `found.json` has each as soon as it is whole."""
        finalists = tuple(there)
        failure: VerificationFailed | None = None
        while len(finalists) < count and (candidate := self._next(finalists, slower)):
            number = len(finalists) + 1
            told = within(len(finalists), count, f"finalist {number} of {count}: ", progress, stage="finalists")
            try:
                finalists += (self.exporter.export(candidate, number, told),)
            except VerificationFailed as error:
                if self.exporter.setup.precision not in QUANTISED:
                    raise
                # Rounded so far, a network may be of no use, whatever it is in float32: the next one may be.
                _log.warning("%s is no finalist: %s", candidate.subnet.arch.fingerprint, error)
                self._unfit.add(candidate.subnet)
                failure = error
                continue
            self._document(finalists).write(self.exporter.folder)
        if not finalists and failure:
            raise failure
        found = self._document(finalists)
        found.write(self.exporter.folder)
        return found

    def _document(self, finalists: Sequence[FoundFinalist]) -> Found:
        return Found(
            searched=searched(self.problem),
            supernet=self.problem.supernet,
            search=self.problem.identity,
            pareto=self.evaluated.pareto,
            predictor=self.evaluated.predictor,
            costs=tuple(cost.named for cost in self.problem.costs),
            limits=self.limits,
            setting=self.setting,
            together=self.together,
            finalists=tuple(finalists),
            anchor=self.anchor,
        )

    def _next(self, finalists: Sequence[FoundFinalist], slower: float) -> Candidate | None:
        """Return the best that is no finalist yet: of those that keep the limit if all take so much more, if any do."""
        taken = {item.subnet for item in finalists} | self._unfit
        left = [candidate for candidate in self._ranked if candidate.subnet not in taken]
        if not left or slower <= 1:
            return next(iter(left), None)
        keeping = [candidate for candidate in left if slower * self._predicted_share(candidate.costs) <= 1]
        return keeping[0] if keeping else min(left, key=lambda candidate: self._predicted_share(candidate.costs))

    @property
    def _ranked(self) -> Sequence[Candidate]:
        if self.evaluated.pareto:
            return self.evaluated.finalists(self.together)
        best = self.evaluated.best
        return [item for place, item in enumerate(best) if place < self.together or not item.score.stopped]

    def _slower(self, found: Found, measured: Measured) -> float:
        """Return what was measured over what was predicted, both as shares of the limits: the middle of finalists."""
        shares = [(measured.share(found, item), item.costs) for item in found.finalists]
        ratios = [share / self._predicted_share(costs) for share, costs in shares if np.isfinite(share)]
        return float(np.median(ratios)) if ratios else 1.0

    def _predicted_share(self, costs: Sequence[float]) -> float:
        """Return how much of the limit on latency the prediction uses up."""
        place = next((n for n, cost in enumerate(self.problem.costs) if cost.name == LATENCY), None)
        most = min((limit.most for limit in self.problem.limits.limits if limit.cost.name == LATENCY), default=None)
        return costs[place] / most if place is not None and most else 1.0


def searched(problem: SearchProblem) -> Searched:
    """Return what a search looks through, for its documents."""
    limits = problem.limits.limits
    # Two may be of the same cost: a batch's time and the throughput.
    most = {one.cost.name: min(other.most for other in limits if other.cost.name == one.cost.name) for one in limits}
    return Searched(problem.space, problem.data, problem.held_out, " and ".join(map(str, limits)), most)


def _any_keeps(found: Found, measured: Measured) -> bool:
    return any(measured.share(found, item) <= 1 for item in found.finalists)
