"""`resnas search`: the best subnets of a supernet, by accuracy, under limits on what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.latency_options import Batch, Precision, StoreOption, bench_and_setting, options_of, store_path
from resnas_deploy.cli.options import DeviceOption, Json, RunnerOption, Threads, threads_or_all
from resnas_deploy.cli.output import complain, print_json, print_table, progress, say
from resnas_deploy.cli.train_options import DataOption, Seed, check_torch
from resnas_deploy.errors import BadInput

if TYPE_CHECKING:
    from resnas_deploy.train.search.finalists import Finalist

_BILLIONS = {"G": 1.0, "M": 1e-3, "": 1e-9}
_MILLIONS = {"G": 1e3, "M": 1.0, "": 1e-6}
_MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3}


def search(
    supernet: Annotated[Path, typer.Option(help="The supernet's checkpoint.", metavar="FILE", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER", show_default=False)],
    data: DataOption = "demo",
    max_macs: Annotated[
        str, typer.Option(help="Such as 2.9G, or 60% of the widest subnet's.", metavar="N", show_default=False)
    ] = "",
    max_parameters: Annotated[str, typer.Option(help="Such as 60M, or 60%.", metavar="N", show_default=False)] = "",
    max_latency: Annotated[
        str,
        typer.Option(
            help="Of a batch, by the latency model: such as 8ms, or 60% of the widest subnet's.",
            metavar="TIME",
            show_default=False,
        ),
    ] = "",
    pareto: Annotated[
        bool,
        typer.Option("--pareto", metavar="", help="Look for the whole front of accuracy against latency (or MACs)."),
    ] = False,
    runner: RunnerOption = "",
    batch: Batch = 1,
    precision: Precision = "fp32",
    threads: Threads = 0,
    device: DeviceOption = "",
    store: StoreOption = None,
    iterations: Annotated[int, typer.Option(help="Of the evolution.", metavar="N", min=1)] = 20,
    first: Annotated[int, typer.Option(help="Random subnets of the first iteration.", metavar="N", min=1)] = 500,
    children: Annotated[
        int, typer.Option(help="Subnets of each later one, half by mutation, half by crossover.", metavar="N", min=2)
    ] = 150,
    parents: Annotated[int, typer.Option(help="The best so far, of which those are made.", metavar="N", min=1)] = 75,
    finalists: Annotated[int, typer.Option(help="How many to export and measure.", metavar="N", min=1, max=20)] = 3,
    early_stopping: Annotated[
        bool, typer.Option("--early-stopping/--no-early-stopping", help="Stop evaluating what is hopeless.")
    ] = True,
    eval_batch: Annotated[int, typer.Option(help="Pictures at once.", metavar="N", min=1, max=65536)] = 100,
    workers: Annotated[
        str, typer.Option(help="Evaluate by Ray's workers: ray, or ray:ADDRESS.", metavar="ray", show_default=False)
    ] = "",
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on with a search that was stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Find the most accurate subnets within limits, by evolution; then export the best, verify and measure them.

    Accuracy is top-1 on pictures that training held out, with the supernet's weights. A limit on latency is on what
    the latency model predicts (resnas latency profile); at the end the finalists are measured for real.

    Examples:
    $ resnas search --supernet run/checkpoint.safetensors --data imagenet --max-macs 2.9G --out found
    $ resnas search --supernet run/checkpoint.safetensors --max-latency 2ms --runner ort-cpu --out found
    $ resnas search --supernet run/checkpoint.safetensors --pareto --runner openvino --out found
    """
    check_torch()
    if not (max_macs or max_parameters or max_latency or pareto):
        raise BadInput(
            "there must be a limit, or the widest subnet would win, found none; "
            "give --max-macs, --max-parameters, --max-latency or --pareto"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not resume:
        raise BadInput(f"{out} exists; give --resume to go on with a search there, or choose another --out")
    with progress(spinner=False) as tell:
        tell("loading")
        from resnas_deploy.atomic import atomic_file
        from resnas_deploy.bench.drawing import check_plot
        from resnas_deploy.bench.latency.profile import profiled_model
        from resnas_deploy.bench.latency.store import Store
        from resnas_deploy.checkpoint import load, save
        from resnas_deploy.train.search import start
        from resnas_deploy.train.search.evolution import Evolution
        from resnas_deploy.train.search.finalists import Place, measure_finalists, winner
        from resnas_deploy.train.search.limits import Limits, limit_of
        from resnas_deploy.train.search.pool import opened_pool
        from resnas_deploy.train.search.report import FRONT, finalist_table, write_report
        from resnas_deploy.train.search.search import Search, run
        from resnas_deploy.train.search.store import SearchStore

        check_plot(out / FRONT)
        weights = load(supernet)
        space = start.space_of(weights, supernet)
        pictures = start.search_pictures(weights, supernet, data)
        bench, setting = bench_and_setting(runner, precision, batch, threads, device)
        costs, limits, measured, most_ms = [], [], "", None
        if max_latency or pareto:
            with Store(store_path(store), create=False) as kept:
                model = profiled_model(kept, setting, space, options_of(setting, threads, device, store))
            costs.append(start.latency_cost(model, space))
            measured = json.dumps([vars(setting), model.weights, model.anchor_ms])
            if max_latency:
                limits.append(limit_of(costs[-1], max_latency, _MILLISECONDS, "--max-latency", space))
                most_ms = limits[-1].most
        for text, option, cost, units in (
            (max_macs, "--max-macs", start.macs_cost(), _BILLIONS),
            (max_parameters, "--max-parameters", start.parameters_cost(), _MILLIONS),
        ):
            if text:
                limits.append(limit_of(cost, text, units, option, space))
            if text or cost.name == "MACs":
                costs.append(cost)
        wanted = Search(
            space=space,
            supernet=weights.digest,
            data=data,
            held_out=len(pictures.labels),
            limits=Limits(tuple(limits)),
            costs=tuple(costs),
            evolution=Evolution(iterations, first, children - children // 2, children // 2, parents, pareto=pareto),
            seed=seed,
            early_stopping=early_stopping,
            measured=measured,
        )
        wanted.limits.within(space)
        source = start.ScorerSource(
            supernet.resolve(), data, eval_batch, "cuda" if device.startswith("cuda") else "cpu"
        )
        out.mkdir(parents=True, exist_ok=True)
        with SearchStore(out / "search.sqlite", wanted.identity) as kept_here, opened_pool(workers, source) as pool:
            found = run(wanted, kept_here, pool, tell)
        place = Place(bench.kind, precision, batch, threads_or_all(threads), device)
        best, report = measure_finalists(found.finalists(finalists), weights, place, out / "finalists", tell)
        first_of = winner(best, most_ms)
        with atomic_file(out / "arch.json") as partial:
            partial.write_text(json.dumps(first_of.checkpoint.arch.to_json(), indent=1) + "\n")
        save(first_of.checkpoint, out / "checkpoint.safetensors")
        report.write(out / "measured.json")
        write_report(found.candidates, best, costs, out)
    stopped = sum(candidate.score.stopped for candidate in found.candidates)
    table = finalist_table(best, costs)
    missed = most_ms is not None and (first_of.measured_ms or 0) > most_ms
    if as_json:
        print_json(
            {
                "out": str(out),
                "arch": first_of.checkpoint.arch.to_json(),
                "evaluated": len(found.candidates),
                "stopped_early": stopped,
                "within_limit_as_measured": not missed,
                "finalists": [_finalist(item, [cost.name for cost in costs]) for item in best],
            }
        )
        return
    title = f"{len(found.candidates)} subnets of the space {space.name} evaluated, {stopped} of them not to the end"
    print_table(title, table[0], table[1:])
    if missed:
        complain(
            "note: no finalist was measured within --max-latency; the fastest was taken. Profile again, or raise it"
        )
    say(f"written: {out}/arch.json, checkpoint.safetensors, front.png, report.html, measured.json, finalists/")
    say(f"next: resnas train subnet --checkpoint {out}/checkpoint.safetensors --data {data} --out trained")


def _finalist(item: Finalist, costs: list[str]) -> dict[str, object]:
    candidate = item.candidate
    return {
        "artifact": item.artifact.source,
        "fingerprint": item.checkpoint.arch.fingerprint,
        "top1_held_out": candidate.score.accuracy,
        **{
            f"predicted_{name}" if name == "latency" else name: cost
            for name, cost in zip(costs, candidate.costs, strict=True)
        },
        "measured_latency": item.measured_ms,
    }
