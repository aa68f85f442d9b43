"""`resnas triton serve`: a real server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.cli.options import MAX_SECONDS, finite
from resnas_deploy.cli.output import progress, say
from resnas_deploy.cli.triton_load import KeyFile, Repository, check_extra, read_key
from resnas_deploy.files.outputs import check_new_file
from resnas_deploy.processes import ending


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
    check_extra()
    from resnas_deploy.serving.server.addresses import Ports, check_address, loopback
    from resnas_deploy.serving.server.server import ServerSettings, running_server

    free = Ports.free()
    settings = ServerSettings(
        Ports(http_port or free.http, grpc_port or free.grpc, metrics_port or free.metrics),
        poll,
        ready_within,
        check_address(address) if address else loopback(),
        risk_known,
        read_key(key_file),
    )
    if log:
        check_new_file(log, replace=True, field="log")  # it is appended to
    with progress() as tell:
        try:
            with running_server(repository, settings, log, tell) as server:
                tell("serving; Ctrl-C stops it")
                key = f" (key of what is closed: {server.key_file})" if server.key_file else ""
                say(f"ready: HTTP {server.http}, gRPC {server.grpc}, metrics {server.metrics}{key}")
                server.wait()
        except KeyboardInterrupt:
            ending.taken()
    say("stopped")
