"""The end of a search: the finalists' figures are taken in, and the winner is chosen and written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.atomic import write_errors, write_json
from resnas_deploy.files.outputs import claiming
from resnas_deploy.measuring.plots import check_plot
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.costs import CostKind, macs_cost, parameters_cost
from resnas_deploy.searching.finalists import Finalist, finalists_of, winner
from resnas_deploy.searching.found import NAME_THE_SEARCH, Found, read_found
from resnas_deploy.searching.iterations import EvaluatedSubnets
from resnas_deploy.searching.measured import MEASURED, Measured, read_measured, waiting
from resnas_deploy.searching.report import FRONT, write_report
from resnas_deploy.searching.reported import ReportedSearch
from resnas_deploy.searching.result import SearchResult
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.checkpoint import save

COUNTED = (macs_cost(), parameters_cost())
ARCH, CHECKPOINT, STATE = "arch.json", "checkpoint.safetensors", "search.sqlite"


def finish(folder: Path, measured: Path | None = None, progress: Progress = silent) -> SearchResult:
    """Take in what was measured of a search's finalists, choose the winner and write it into the search's folder.

    `measured` is the file of figures; where none is named, the one in the folder. Raise `BadInput` for figures of other
    artifacts or of another setting, and where there are not enough to choose.
    """
    found, path = read_found(folder), measured or folder / MEASURED
    check_plot(folder / FRONT)
    with claiming(folder, resume=True, remedy=NAME_THE_SEARCH):
        progress("reading the figures")
        figures = read_measured(path, found)
        if missing := waiting(found, figures):
            raise BadInput(
                f"{path} must have the finalists up to one that keeps the limits, found none of "
                f"{missing[0].artifact}; go on by `search.measure()`"
            )
        for note in figures.notes(found.setting):
            logging.getLogger(__name__).warning("%s", note)
        if path != folder / MEASURED:
            figures.write(folder)
        return finished(folder, found, figures)


def finished(folder: Path, found: Found, figures: Measured | None, costs: Sequence[CostKind] = COUNTED) -> SearchResult:
    """Choose the winner and write it, in a folder that nobody else writes to; without figures the report alone.

    `costs` are those that can be counted here, for the report: of predicted latency the model is needed.
    """
    with SearchStore(folder / STATE, found.search) as store:
        evaluated = EvaluatedSubnets.of(store.candidates(), pareto=found.pareto, predictor=found.predictor)
    finalists = finalists_of(folder, found, figures)
    result = SearchResult(
        out=folder,
        space=found.space,
        evaluated=evaluated,
        finalists=finalists,
        chosen=winner(finalists),
        costs=found.costs,
        limits=found.limits,
        machine=found.setting.machine,
    )
    try:
        _write_winner(folder, result.chosen)
        counted = {cost.name: cost for cost in costs}
        report = ReportedSearch(
            searched=found.searched,
            costs=[counted.get(cost.name, cost) for cost in found.costs],
            limits=found.limits,
            candidates=evaluated.candidates,
            finalists=finalists,
            chosen=result.chosen,
        )
        write_report(report, folder)
    except (BadInput, StorageError) as error:
        return replace(result, unsaved=error)
    return result


def _write_winner(folder: Path, chosen: Finalist | None) -> None:
    """Write the winner's architecture and weights; where there is none, leave none of another."""
    if chosen is None:
        for name in (ARCH, CHECKPOINT):
            with write_errors(folder / name):
                (folder / name).unlink(missing_ok=True)
        return
    checkpoint = chosen.checkpoint
    write_json(folder / ARCH, checkpoint.arch.to_json())
    save(checkpoint, folder / CHECKPOINT)
