"""`resnas search`: the best subnets of a supernet, by accuracy, under limits on what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.latency_options import SetupOptions
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import MAX_COUNT, Json, complete
from resnas_deploy.cli.output import complain, print_json, print_table, progress, resumable, say
from resnas_deploy.cli.train_options import DataOption, Seed, TorchDevice

if TYPE_CHECKING:
    from resnas_deploy.measuring.latency.model import LatencyModel
    from resnas_deploy.searching.finalists import Finalist
    from resnas_deploy.searching.search import Outcome


@with_groups
def search(
    *,
    supernet: Annotated[Path, typer.Option(help="The supernet's checkpoint.", metavar="FILE", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER", show_default=False)],
    data: DataOption,
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
        typer.Option("--pareto", metavar="", help="Look for the whole front of accuracy against latency."),
    ] = False,
    setup: SetupOptions,
    iterations: Annotated[int, typer.Option(help="Of the evolution.", metavar="N", min=1, max=MAX_COUNT)] = 20,
    first: Annotated[
        int, typer.Option(help="Random subnets of the first iteration.", metavar="N", min=1, max=MAX_COUNT)
    ] = 500,
    children: Annotated[
        int,
        typer.Option(
            help="Subnets of each later one, half by mutation, half by crossover.", metavar="N", min=2, max=MAX_COUNT
        ),
    ] = 150,
    parents: Annotated[
        int, typer.Option(help="The best so far, of which those are made.", metavar="N", min=1, max=MAX_COUNT)
    ] = 75,
    finalists: Annotated[int, typer.Option(help="How many to export and measure.", metavar="N", min=1, max=20)] = 3,
    evaluate_fully: Annotated[
        bool, typer.Option("--evaluate-fully", metavar="", help="Do not stop early with subnets that are hopeless.")
    ] = False,
    eval_batch: Annotated[int, typer.Option(help="Images at once.", metavar="N", min=1, max=65536)] = 100,
    eval_device: TorchDevice = "",
    workers: Annotated[
        str,
        typer.Option(
            help="Evaluate by Ray's workers: ray, or ray:ADDRESS.",
            metavar="ray[:ADDRESS]",
            show_default="this process",
            autocompletion=complete(("ray",)),
        ),
    ] = "",
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on with a search that was stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Find the most accurate subnets within limits, by evolution; then export the best, verify and measure them.

    Accuracy is top-1 on images that training held out, with the supernet's weights. A limit on latency is on what
    the latency model predicts (resnas latency profile); at the end the finalists are measured for real.

    Examples:
    $ resnas search --supernet s.safetensors --data demo --max-macs 60% --out x
    $ resnas search --supernet s.safetensors --data demo --max-latency 8ms --out x
    $ resnas search --supernet s.safetensors --data demo --pareto --out x
    """
    from resnas_deploy.runners.devices import check_torch

    check_torch("searching")
    with progress(spinner=False) as tell, resumable(out):
        tell("loading")
        from resnas_deploy.arch.space import space_named
        from resnas_deploy.measuring.latency.profile import stored_model
        from resnas_deploy.measuring.latency.setup import choose_setup
        from resnas_deploy.measuring.latency.store import usual_store
        from resnas_deploy.searching.evolution import Evolution
        from resnas_deploy.searching.finalists import Place
        from resnas_deploy.searching.report import finalist_table
        from resnas_deploy.searching.search import Job, carry_out

        bench = choose_setup(setup.runner, setup.precision, setup.batch, setup.threads, setup.device)

        def latency_model(space: str) -> tuple[LatencyModel, str]:
            model = stored_model(space_named(space), bench, setup.store or usual_store())
            return model, model.identity

        outcome = carry_out(
            Job(
                supernet=supernet,
                data=data,
                out=out,
                max_macs=max_macs,
                max_parameters=max_parameters,
                max_latency=max_latency,
                evolution=Evolution(iterations, first, children - children // 2, children // 2, parents, pareto=pareto),
                place=Place(bench.kind, bench.precision, bench.batch, bench.cores, bench.device),
                latency_model=latency_model,
                finalists=finalists,
                early_stopping=not evaluate_fully,
                eval_batch=eval_batch,
                eval_device=eval_device,
                workers=workers,
                seed=seed,
                resume=resume,
            ),
            tell,
        )
    if as_json:
        print_json(_document(outcome, out))
        if outcome.unsaved:
            raise outcome.unsaved
        return
    found, table = outcome.found, finalist_table(outcome.finalists, outcome.costs)
    title = f"{len(found.candidates)} subnets of the space {outcome.space} evaluated, {found.stopped} not to the end"
    print_table(title, table[0], table[1:])
    if not outcome.within_limit:
        complain("note: no finalist was measured within --max-latency, so the fastest was taken; profile again")
    if outcome.unsaved:
        raise outcome.unsaved
    say(f"written: {out}/arch.json, checkpoint.safetensors, front.png, report.html, measured.json, finalists/")
    say(f"next: resnas train subnet --checkpoint {out}/checkpoint.safetensors --data {data} --out trained")


def _document(outcome: Outcome, out: Path) -> dict[str, object]:
    found, names = outcome.found, [cost.name for cost in outcome.costs]
    return {
        "out": str(out),
        "arch": outcome.winner.checkpoint.arch.to_json(),
        "evaluated": len(found.candidates),
        "stopped_early": found.stopped,
        "within_limit_as_measured": outcome.within_limit,
        "finalists": [_finalist(item, names) for item in outcome.finalists],
    }


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
