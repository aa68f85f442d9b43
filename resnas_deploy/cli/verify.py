"""`resnas verify`: an artifact's graph against the PyTorch module or another graph, again and anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import (
    DataOption,
    DeviceOption,
    EngineOption,
    Json,
    MaxDropOption,
    RunnerOption,
    Tf32Option,
    Threads,
)
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.cli.verification import failed_verification, print_headroom
from resnas_deploy.errors import VerificationFailed


def verify(
    artifact: Annotated[
        Path,
        typer.Argument(
            help="An artifact's folder, an engine in one (engines/ID.engine), or with --against a bare ONNX file.",
            show_default=False,
        ),
    ],
    against: Annotated[
        str,
        typer.Option(
            help="Compare with this bare ONNX file (or another artifact), on the same images and runtime.",
            metavar="FILE.onnx",
            show_default="the PyTorch module",
        ),
    ] = "",
    runner: RunnerOption = "",
    engine: EngineOption = "",
    device: DeviceOption = "",
    tf32: Tf32Option = False,
    data: DataOption = "",
    max_drop: MaxDropOption = 0.5,
    threads: Threads = 0,
    signature: Annotated[
        str,
        typer.Option(
            help="Check this signature over the artifact's folder first; say whose with the next options.",
            metavar="FILE",
            show_default="model.sig in it, where one of the next is given",
        ),
    ] = "",
    public_key: Annotated[
        str, typer.Option(help="The key that it must be by.", metavar="FILE.pub", show_default=False)
    ] = "",
    identity: Annotated[
        str,
        typer.Option(
            help="Whom Sigstore must have known the signer as, in place of a key; over the network.",
            metavar="WHO",
            show_default=False,
        ),
    ] = "",
    issuer: Annotated[
        str, typer.Option(help="The issuer that vouches for --identity.", metavar="URL", show_default=False)
    ] = "",
    ignore_unsigned: Annotated[
        bool,
        typer.Option(
            "--ignore-unsigned", metavar="", help="Let files be there that were not signed: engines built since."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check an artifact's files and compare its graph with the PyTorch module on a runtime of your choice.

    With --against the graph is compared with another one, on the same runtime: what your own exporter made of the same
    weights, say. Both run the same images, noise and real ones; the exit code is 3 where they differ.

    With --public-key, or --identity and --issuer, the signature over the artifact's folder is checked too,
    after the hashes in its manifest and before anything is compared.

    Examples:
    $ resnas verify small-fp32
    $ resnas verify small-fp32 --runner openvino
    $ resnas verify small-fp32 --runner ort-cuda --device cuda:1
    $ resnas verify small-fp32 --engine 3514cb55
    $ resnas verify small-fp32 --against mine.onnx
    $ resnas verify mine-int8.onnx --against mine.onnx --runner openvino
    $ resnas verify small-fp32 --public-key publisher.pub
    """
    with progress() as show:
        show("checking the files")
        from resnas_deploy.engines.finding import open_network

        opened, file = open_network(artifact, engine)
        try:
            found = resnas.verify(
                opened,
                against=against,
                runner=runner,
                engine=file.path if file else "",
                device=device,
                tf32=tf32,
                data=data,
                max_drop=max_drop,
                threads=threads,
                signature=signature,
                public_key=public_key,
                identity=identity,
                issuer=issuer,
                ignore_unsigned=ignore_unsigned,
                progress=show,
            )
        except VerificationFailed as error:
            if as_json:
                failed = {"error": str(error), "verification": failed_verification(error)}
                print_json({"artifact": str(artifact), "label": opened.label} | failed)
            raise
    if as_json:
        print_json(found.to_json())
        return
    if found.signed_by:
        say(f"{artifact}: every file is as it was signed by {found.signed_by}")
    if found.against:
        say(f"{artifact}: {opened.label}")
        say(f"computes what {against} does: {found.verification}")
        return
    say(f"{artifact}: {opened.label}: every file is as its hash says")
    say(f"verified: {found.verification}")
    print_headroom(found.verification)
