"""Search: the most accurate subnets of a supernet, within limits on what they cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.devices import check_torch
from resnas_deploy.searching import search as searching
from resnas_deploy.searching.costs import LATENCY, Bounds
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.report import finalist_table
from resnas_deploy.searching.search import Scoring, SearchRequest


@dataclass(frozen=True)
class SearchResult(searching.SearchResult, Tabular):
    """What a search found: `winner` has the `artifact`, the `checkpoint` and `measured_ms`, as all `finalists` have."""

    def to_json(self) -> dict[str, object]:
        """Return what `resnas search --json` prints."""
        return {
            "out": str(self.out),
            "arch": self.winner.checkpoint.arch.to_json(),
            "evaluated": len(self.evaluated.candidates),
            "stopped_early": self.evaluated.stopped,
            "images_scored": self.evaluated.images,
            "predictor": [asdict(check) for check in self.evaluated.checks],
            "within_limit_as_measured": self.within_limit,
            "finalists": [self._finalist(item) for item in self.finalists],
        }

    def _finalist(self, item: Finalist) -> dict[str, object]:
        names = [f"predicted_{cost.name}" if cost.name == LATENCY else cost.name for cost in self.costs]
        return {
            "artifact": item.artifact.source,
            "fingerprint": item.checkpoint.arch.fingerprint,
            "top1_held_out": item.candidate.score.accuracy,
            **dict(zip(names, item.candidate.costs, strict=True)),
            "measured_latency": item.measured_ms,
        }

    def table(self) -> Table:
        """Return a row for each finalist; predicted and measured latency are apart."""
        found, rows = self.evaluated, finalist_table(self.finalists, self.costs)
        title = (
            f"{len(found.candidates)} subnets of the space {self.space} evaluated, {found.stopped} not to the end, "
            f"on {found.images:,} images in all"
        )
        return Table(title, rows[0], rows[1:])


@checked
def search(
    supernet: str | Path,
    *,
    data: str | Path,
    out: str | Path,
    max_macs: str | float = "",
    max_parameters: str | float = "",
    max_latency: str | float = "",
    max_latency_ms: float | None = None,
    pareto: bool = False,
    runner: str = "",
    batch: int = 1,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    store: str | Path | None = None,
    model: LatencyModel | None = None,
    iterations: int = 20,
    first: int = 500,
    children: int = 150,
    parents: int = 75,
    finalists: int = 3,
    halving: bool = False,
    predictor: bool = False,
    evaluate_fully: bool = False,
    eval_batch: int = 100,
    eval_device: str = "",
    workers: str = "",
    seed: int = 0,
    resume: bool = False,
    progress: Progress = silent,
) -> SearchResult:
    """Find the most accurate subnets within limits, by evolution; then export the best, verify and measure them.

    Args:
        supernet: its checkpoint.
        data: `demo`, or the folder that it was trained on; accuracy is top-1 on images that training held out.
        out: the folder to write: `arch.json`, `checkpoint.safetensors`, `front.png`, `report.html`, `measured.json`,
            `finalists/`.
        max_macs: such as `2.9G`, `60%` of the widest subnet's, or a number of multiply-accumulates an image.
        max_parameters: such as `60M`, `60%`, or a number.
        max_latency: of a batch, as the latency model predicts it: such as `8ms`, `60%`, or a number of milliseconds.
        max_latency_ms: the same as a number alone.
        pareto: look for the whole front of accuracy against latency.
        runner, batch, precision, threads, device: how finalists are measured, as `latency.profile` takes them.
        store: the file that holds the profile of that setting; the user's own where none is named.
        model: a latency model, such as `profile` returns, instead of what chooses one from the store.
        iterations, first, children, parents: of the evolution; the first iteration's subnets have random widths and
            depth.
        finalists: how many to export and measure.
        halving: score by successive halving: only the better half of the subnets goes on to twice the images.
        predictor: score a third of the subnets, those whose accuracy a regression on their dimensions predicts best.
        evaluate_fully: do not stop early with subnets that are hopeless.
        eval_batch, eval_device: images at once, and the device that candidates are scored on.
        workers: `ray` or `ray:ADDRESS` score on the CPUs or GPUs of a cluster; this process where empty.
        seed: everything random follows from it.
        resume: go on with a search that was stopped.
        progress: told what is being done.

    The winner is then trained from scratch, as the paper does: `train.subnet(arch=out / "arch.json")`; or from the
    weights that it inherits from the supernet: `train.subnet(checkpoint=out / "checkpoint.safetensors")`.

    `unsaved` of the result says why not all of it could be written, where it could not.

    Raise `BadInput` for a limit that no subnet meets, with the range there is, and for what cannot be searched;
    `VerificationFailed` where a finalist's graph is wrong; `NotAvailable` where something is not installed.
    """
    check_torch("a search")
    if max_latency_ms is not None:
        if max_latency != "":
            raise BadInput("there must be one of `max_latency` and `max_latency_ms`, found both")
        max_latency = float(max_latency_ms)
    if model and (runner, batch, precision, threads, device, store) != ("", 1, "fp32", 0, "", None):
        raise BadInput("`model` must come without `runner`, `batch`, `precision`, `threads`, `device` and `store`")
    request = SearchRequest(
        supernet=Path(supernet),
        data=str(data),
        out=Path(out),
        bounds=Bounds.parse(max_macs, max_parameters, max_latency),
        setup=model.setup if model else choose_setup(runner, precision, batch, threads, device),
        evolution=Evolution(iterations, first, children - children // 2, children // 2, parents, pareto=pareto),
        predictor=predictor,
        scoring=Scoring(not evaluate_fully, eval_batch, eval_device, workers, halving),
        finalists=finalists,
        seed=seed,
        resume=resume,
        store=Path(store) if store else None,
        model=model,
    )
    return SearchResult(**vars(searching.search(request, progress)))
