"""`resnas triton`: model repositories for NVIDIA Triton, checked, and served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.options import (
    MAX_THREADS,
    Json,
    Threads,
    complete,
    finite,
    threads_or_all,
)
from resnas_deploy.cli.output import complain, print_json, print_table, progress, say
from resnas_deploy.cli.triton_load import KeyFile, Repository, check_extra, load, read_key
from resnas_deploy.cli.triton_serve import serve
from resnas_deploy.errors import BadInput, VerificationFailed, first_few
from resnas_deploy.files.atomic import lexical
from resnas_deploy.serving.repository.backends import ACCELERATORS, BACKENDS

if TYPE_CHECKING:
    from resnas_deploy.artifact.artifact import Artifact
    from resnas_deploy.engines.store import Engine
    from resnas_deploy.serving.repository.batching import Batching
    from resnas_deploy.serving.repository.check import CheckedModel

triton = typer.Typer(
    name="triton",
    help="Serve networks behind NVIDIA Triton Inference Server.\n\n"
    "Start with: resnas triton export small-fp32 --repository models",
    no_args_is_help=True,
)


@triton.command()
def export(
    artifacts: Annotated[
        list[Path], typer.Argument(help="Artifacts, or engines in them (engines/ID.engine).", show_default=False)
    ],
    repository: Annotated[Path, typer.Option(help="The model repository to add to.", metavar="FOLDER")],
    name: Annotated[
        str, typer.Option(help="The model's name.", metavar="NAME", show_default="the artifact's folder")
    ] = "",
    backend: Annotated[
        str,
        typer.Option(
            help="What runs it: python (which needs nothing but onnxruntime), onnxruntime, or tensorrt for an engine.",
            metavar="NAME",
            show_default="python; tensorrt for an engine",
            autocompletion=complete(BACKENDS),
        ),
    ] = "",
    accelerator: Annotated[
        str,
        typer.Option(
            help="The onnxruntime backend's execution provider: tensorrt, cuda or openvino.",
            metavar="NAME",
            show_default="its own",
            autocompletion=complete(ACCELERATORS),
        ),
    ] = "",
    gpu: Annotated[bool, typer.Option("--gpu", help="Run on GPUs, and not on CPUs.", metavar="")] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Take JPEG (or PNG, ..) files too: NAME_jpeg.", metavar="")
    ] = False,
    instances: Annotated[int, typer.Option(help="Of the network, on each device.", metavar="N", min=1, max=64)] = 1,
    threads: Annotated[int, typer.Option(help="CPU threads of an instance.", metavar="N", min=1, max=MAX_THREADS)] = 1,
    max_batch: Annotated[
        int | None,
        typer.Option(
            help="The largest batch.", metavar="N", min=1, max=MAX_BATCH, show_default="the artifact's largest"
        ),
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option(help="A result of resnas bench: batches are formed by it.", metavar="FILE", show_default="none"),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(
            help="With --measured: answers must come within so many milliseconds.", metavar="MS", min=0, callback=finite
        ),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep answers, for images that come again.", metavar="")
    ] = False,
    versions: Annotated[
        str, typer.Option(help="Which are served: latest:N, all, or numbers as 1,3.", metavar="POLICY")
    ] = "latest:1",
    as_json: Json = False,
) -> None:
    """Add artifacts, or engines, to a model repository, each as a new version of its model.

    Nothing that is there is overwritten, and a server that polls the folder never sees half of a model.

    Examples:
    $ resnas triton export small-fp32 --repository models
    $ resnas triton export clothes --repository models --ensemble --instances 2
    $ resnas triton export small-fp32 --repository models --backend onnxruntime
    """
    check_extra()
    if latency is not None and measured is None:
        raise BadInput("--latency must come with --measured, the latencies to reach it with, found none")
    with progress() as tell:
        tell("checking the files")
        from resnas_deploy.serving.repository.contents import add_model
        from resnas_deploy.serving.repository.settings import ModelSettings

        opened = [_open(path) for path in artifacts]
        names = [name or lexical(artifact.folder).name for artifact, _ in opened]
        if len(set(names)) < len(names):
            twice = next(each for each in names if names.count(each) > 1)
            raise BadInput(
                f"models that are exported together must have names of their own, found {twice!r} more than once; "
                "export them one after the other to make them versions of one model"
            )
        written = []
        for (artifact, engine), model in zip(opened, names, strict=True):
            serving = ModelSettings(
                name=model,
                backend=backend or ("tensorrt" if engine else "python"),
                accelerator=accelerator,
                on_gpu=gpu or engine is not None,
                instances=instances,
                threads=threads,
                batching=_batching(measured, artifact, max_batch, latency),
                cache=cache,
                versions=versions,
                max_batch=max_batch,
            )
            tell(f"writing {model}")
            written += add_model(repository, artifact, serving, engine, ensemble=ensemble)
    for artifact, _ in opened:
        if doubt := artifact.manifest.doubt:
            complain(f"note: {artifact.folder} is marked {doubt}; check it with: resnas verify {artifact.folder}")
    if as_json:
        print_json([{"folder": str(each.folder), "version": each.version, "new": each.is_new} for each in written])
        return
    for each in written:
        say(f"{each.folder}{'' if each.is_new else ' (was there already)'}")
    say(f"next: resnas triton check {repository}   or   resnas triton serve {repository}")


@triton.command()
def check(
    repository: Repository,
    release: Annotated[
        str,
        typer.Option(help="The Triton release that will serve it, such as 26.08.", metavar="YY.MM", show_default="any"),
    ] = "",
    url: Annotated[
        str,
        typer.Option(
            help="A running server, which is asked too.", metavar="grpc://HOST:PORT", show_default="the files alone"
        ),
    ] = "",
    key_file: KeyFile = None,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Compare every claim of a repository's configurations with what it serves. Exits with 3 where one does not hold.

    With --url also a running server's own view of the models, and its answers for real images with the graph's.

    Examples:
    $ resnas triton check models
    $ resnas triton check models --release 26.08
    $ resnas triton check models --url grpc://localhost:8001
    """
    check_extra()
    with progress() as tell:
        tell("comparing files with their hashes")
        from resnas_deploy.serving.repository.check import check_repository, with_findings
        from resnas_deploy.serving.server.addresses import Address

        address = Address.parse(url) if url else None
        checked = check_repository(repository, release)
        if address:
            if address.protocol != "grpc":
                raise BadInput(f"--url must be the server's gRPC address, such as grpc://localhost:8001, found {url}")
            from resnas_deploy.serving.server.check_server import check_server

            tell(f"asking {address.text}")
            key = read_key(key_file)
            checked = with_findings(checked, check_server(repository, address, checked, threads_or_all(threads), key))
    if as_json:
        print_json(
            [
                {
                    "model": model.name,
                    "what": model.what,
                    "versions": list(model.versions),
                    "findings": [str(finding) for finding in model.findings],
                }
                for model in checked
            ]
        )
    else:
        _print_checked(checked)
    if findings := [str(finding) for model in checked for finding in model.findings]:
        raise VerificationFailed(first_few(findings))


triton.command()(serve)
triton.command()(load)


def _open(path: Path) -> tuple[Artifact, Engine | None]:
    """The artifact of that folder; or that an engine is in, and the engine."""
    from resnas_deploy.artifact.artifact import ENGINES, open_artifact
    from resnas_deploy.engines.store import open_engine

    if path.is_dir():
        return open_artifact(path), None
    inside = lexical(path)  # by its own name, wherever a link leads
    if inside.parent.name != ENGINES:
        raise BadInput(f"an artifact's folder, or an engine in one ({ENGINES}/ID.engine), must be given, found {path}")
    return open_artifact(inside.parents[1]), open_engine(path)


def _batching(measured: Path | None, artifact: Artifact, most: int | None, latency: float | None) -> Batching:
    """Batch sizes and a delay from a result of resnas bench, of that very graph."""
    from resnas_deploy.measuring.report import read_report
    from resnas_deploy.serving.repository.batching import Batching, batching_for

    if measured is None:
        return Batching()
    took = {
        item.configuration.batch: item.percentile(50)
        for item in read_report(measured).measurements
        if item.samples_s and item.configuration.digest == artifact.digest and item.configuration.streams == 1
    }
    if not took:
        raise BadInput(
            f"{measured} must have latencies of {artifact.folder}, found none of its graph; measure it again"
        )
    slowest = 2 * max(took.values())
    return batching_for(took, most or artifact.batch.most, slowest if latency is None else latency)


def _print_checked(checked: list[CheckedModel]) -> None:
    rows = [
        (
            model.name,
            model.what,
            ", ".join(map(str, model.versions)),
            "; ".join(finding.problem for finding in model.findings) or "holds",
        )
        for model in checked
    ]
    print_table("Models", ("model", "what", "versions", "claims"), rows, text_columns=4)
