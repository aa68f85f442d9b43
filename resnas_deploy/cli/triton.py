"""`resnas triton`: model repositories for NVIDIA Triton, checked, and served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.options import MAX_SECONDS, Json, Threads, complete, finite
from resnas_deploy.cli.output import complain, print_json, progress, say, show_table
from resnas_deploy.cli.triton_load import KeyFile, Repository, load
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.files.outputs import check_new_file
from resnas_deploy.processes import ending
from resnas_deploy.serving.repository.settings import ACCELERATORS, BACKENDS, MAX_INSTANCES, MAX_THREADS

if TYPE_CHECKING:
    from resnas_deploy.api.triton import RepositoryCheck

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
    instances: Annotated[
        int | None,
        typer.Option(help="Of the network, on each device.", metavar="N", min=1, max=MAX_INSTANCES, show_default="1"),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of an instance.", metavar="N", min=1, max=MAX_THREADS, show_default="1"),
    ] = None,
    max_batch: Annotated[
        int | None,
        typer.Option(
            help="The largest batch.", metavar="N", min=1, max=MAX_BATCH, show_default="the artifact's largest"
        ),
    ] = None,
    setting: Annotated[
        Path | None,
        typer.Option(
            help="A result of resnas bench --streams auto --runner ort-cpu: instances, threads and batches are as its "
            "best setting.",
            metavar="FILE",
            show_default="none",
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
    $ resnas triton export small-fp32 --repository models --setting best.json
    """
    with progress() as show:
        exported = resnas.triton.export(
            artifacts,
            repository,
            name=name,
            backend=backend,
            accelerator=accelerator,
            gpu=gpu,
            ensemble=ensemble,
            instances=instances,
            threads=threads,
            max_batch=max_batch,
            setting=setting,
            measured=measured,
            latency=latency,
            cache=cache,
            versions=versions,
            progress=show,
        )
    for note in exported.notes:
        complain(f"note: {note}")
    if as_json:
        print_json(exported.to_json())
        return
    for each in exported.versions:
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
    try:
        with progress() as show:
            checked = resnas.triton.check(
                repository, release=release, url=url, key_file=key_file, threads=threads, progress=show
            )
    except VerificationFailed as error:
        if isinstance(error.report, resnas.triton.RepositoryCheck):
            _show_check(error.report, as_json)
        raise
    _show_check(checked, as_json)


@triton.command()
def serve(
    repository: Repository,
    http_port: Annotated[int, typer.Option(help="0: a free one.", metavar="PORT", min=0, max=65535)] = 8000,
    grpc_port: Annotated[int, typer.Option(help="0: a free one.", metavar="PORT", min=0, max=65535)] = 8001,
    metrics_port: Annotated[int, typer.Option(help="0: a free one.", metavar="PORT", min=0, max=65535)] = 8002,
    address: Annotated[
        str, typer.Option(help="Listen there, for others too.", metavar="IP", show_default="this machine alone")
    ] = "",
    risk_known: Annotated[
        bool,
        typer.Option("--risk-known", help="Let others reach a release with known holes, as pip's is.", metavar=""),
    ] = False,
    key_file: KeyFile = None,
    poll: Annotated[
        int,
        typer.Option(
            help="Look for new versions every so many seconds; 0: never.", metavar="SECONDS", min=0, max=MAX_SECONDS
        ),
    ] = 0,
    ready_within: Annotated[
        float,
        typer.Option(help="How long loading may take.", metavar="SECONDS", min=1, max=MAX_SECONDS, callback=finite),
    ] = 120,
    log: Annotated[
        Path | None,
        typer.Option(help="The server's log is added to this file.", metavar="FILE", show_default="a temporary one"),
    ] = None,
) -> None:
    """Start a real Triton server on this machine, and stop it on Ctrl-C or SIGTERM.

    It listens on 127.0.0.1 alone and serves on the CPU. Shared memory, logging, tracing and the repository are closed
    to whoever does not have the key, which is made anew where --key-file names none.

    Examples:
    $ resnas triton serve models
    $ resnas triton serve models --poll 5 --log triton.log
    $ resnas triton serve models --http-port 0 --grpc-port 0 --metrics-port 0
    """
    if log:
        check_new_file(log, replace=True, field="log")  # it is appended to
    with progress() as show:
        try:
            with resnas.triton.serve(
                repository,
                http_port=http_port,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                address=address,
                risk_known=risk_known,
                key_file=key_file,
                poll=poll,
                ready_within=ready_within,
                log=log,
                progress=show,
            ) as server:
                show("serving; Ctrl-C stops it")
                key = f" (key of what is closed: {server.key_file})" if server.key_file else ""
                say(f"ready: HTTP {server.http}, gRPC {server.grpc}, metrics {server.metrics}{key}")
                server.wait()
        except KeyboardInterrupt:
            ending.taken()
    say("stopped")


triton.command()(load)


def _show_check(checked: RepositoryCheck, as_json: bool) -> None:
    for note in checked.notes:
        complain(f"note: {note}")
    if as_json:
        print_json(checked.to_json())
    else:
        show_table(checked.table())
