"""Search: the most accurate subnets of a supernet, within limits on what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.elsewhere import Elsewhere
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.devices import check_torch
from resnas_deploy.searching.costs import Bounds
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.held_out import HeldOutSource
from resnas_deploy.searching.limits import Promise
from resnas_deploy.searching.search import Scoring, SearchRequest


@dataclass(frozen=True)
class Asked:
    """A search as its arguments say it, and who is told of it: `resnas.search` does it, and its `plan` prices it."""

    request: SearchRequest
    progress: Progress


@checked
def search(
    supernet: str | Path,
    *,
    data: str | Path = "",
    score_on: str | Path = "",
    held_out: int | None = None,
    out: str | Path,
    max_macs: str | float = "",
    max_parameters: str | float = "",
    max_latency: str | float = "",
    max_latency_ms: float | None = None,
    confidence: float = 0.9,
    percentile: str = "p50",
    min_throughput: str | float = "",
    max_memory: str | float = "",
    max_energy: str | float = "",
    pareto: bool = False,
    runner: str = "",
    batch: int | None = None,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    image_size: int | None = None,
    store: str | Path | None = None,
    latency_of: str = "",
    model: LatencyModel | None = None,
    iterations: int = 20,
    first: int = 500,
    children: int = 150,
    parents: int = 75,
    finalists: int = 3,
    tries: int = 12,
    predictor: bool = False,
    evaluate_fully: bool = False,
    eval_batch: int = 100,
    eval_device: str = "",
    workers: str = "",
    seed: int = 0,
    resume: bool = False,
    progress: Progress = silent,
) -> Asked:
    """Find the most accurate subnets within limits, by evolution; then export the best, verify and measure them.

    Args:
        supernet: its checkpoint.
        data: `demo`, or the folder that it was trained on; accuracy is top-1 on images that training held out.
        score_on: instead of `data`, a folder of labelled images that training did not see: class folders, tar shards,
            or images with a list NAME,CLASS (.csv); for a supernet that was imported.
        held_out: images of each class of that folder, drawn by `seed`; all where it is None.
        out: the folder to write: `arch.json`, `checkpoint.safetensors`, `front.png`, `report.html`, `measured.json`,
            `finalists/`.
        max_macs: such as `2.9G`, `60%` of the widest subnet's, or a number of multiply-accumulates an image.
        max_parameters: such as `60M`, `60%`, or a number.
        max_latency: of a batch, as it will be measured: such as `8ms`, `60%` of what is predicted for the widest, or a
            number of milliseconds.
        max_latency_ms: the same as a number alone.
        confidence: how probable a network inside a limit on latency, throughput or energy is to keep it.
        percentile: of a batch's runs that the limit on latency speaks of: `p50`, `p90` or `p99`.
        min_throughput: images a second, such as `2000/s` or a number; without a `batch`, at the best one profiled.
        max_memory: of weights and activations at their peak: such as `200MB`, `60%`, or a number of bytes.
        max_energy: of an image, where a meter is: such as `50mJ`, `60%`, or a number of joules.
        pareto: look for the whole front of accuracy against latency.
        runner, batch, precision, threads, device: how finalists are measured, as `latency.profile` takes them; without
            a `batch` it is 1.
        image_size: pixels a side of candidates and finalists, as of the profile; without one the supernet's own.
            Positions are resized bicubically, and candidates are scored at that size.
        store: the file that holds the profile of that setting; the user's own where none is named.
        latency_of: a machine that was profiled, by its name in `latency.machines()` or the beginning of it: its profile
            takes the place of this machine's, and `runner`, `threads` and `device` need only tell several apart.
        model: a latency model, such as `profile` returns, instead of what chooses one from the store.
        iterations, first, children, parents: of the evolution; the first iteration's subnets have random widths and
            depth.
        finalists: how many to export and measure together.
        tries: how many at most, where none keeps the limit as measured.
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
    if model and (runner, batch, precision, threads, device, store, latency_of) != ("", None, "fp32", 0, "", None, ""):
        raise BadInput(
            "`model` must come without `runner`, `batch`, `precision`, `threads`, `device`, `store` and `latency_of`"
        )
    elsewhere = Elsewhere(latency_of, precision, batch or 1, runner, threads, device) if latency_of else None
    if model:
        setup = model.setup
    elif elsewhere:
        setup = elsewhere.setup()
    else:
        setup = choose_setup(runner, precision, batch or 1, threads, device)
    request = SearchRequest(
        supernet=Path(supernet),
        out=Path(out),
        bounds=Bounds.parse(max_macs, max_parameters, max_latency, max_memory, max_energy, min_throughput),
        setup=setup,
        evolution=Evolution(iterations, first, children - children // 2, children // 2, parents, pareto=pareto),
        predictor=predictor,
        scoring=Scoring(not evaluate_fully, eval_batch, eval_device, workers),
        finalists=finalists,
        tries=tries,
        seed=seed,
        resume=resume,
        store=Path(store) if store else None,
        model=model,
        latency_of=elsewhere,
        promise=Promise(confidence, percentile),
        any_batch=batch is None,
        image_size=image_size,
        held_out=HeldOutSource(str(data), str(score_on), held_out, seed),
    )
    return Asked(request, progress)
