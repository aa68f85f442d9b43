"""`resnas sign`: a signature over an artifact."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import ArtifactArgument, Json
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.progress import silent


def sign(
    artifact: ArtifactArgument,
    private_key: Annotated[
        str,
        typer.Option(
            help="A PEM file with the private key of an elliptic curve (P-256, P-384, P-521).",
            metavar="FILE.pem",
            show_default=False,
        ),
    ] = "",
    password: Annotated[
        str,
        typer.Option(
            help="What the key is encrypted with; better in the environment, where no list of processes shows it.",
            metavar="TEXT",
            envvar="RESNAS_KEY_PASSWORD",
            show_default=False,
        ),
    ] = "",
    sigstore: Annotated[
        bool,
        typer.Option(
            "--sigstore",
            metavar="",
            help="Sign with your identity instead, by the public Sigstore: over the network, in a public log.",
        ),
    ] = False,
    signature: Annotated[
        str,
        typer.Option(help="The signature's file.", metavar="FILE", show_default="model.sig in the artifact's folder"),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a signature that is there.", metavar="")] = False,
    as_json: Json = False,
) -> None:
    """Sign every file in an artifact's folder, engines and card included, so that others know from whom it is.

    The format is that of OpenSSF Model Signing, which other tools read too. Whoever gets the artifact checks it:
    resnas verify ARTIFACT --public-key KEY.pub

    A key is made by: openssl ecparam -name prime256v1 -genkey -noout -out key.pem
    and what others check by: openssl ec -in key.pem -pubout -out key.pub

    Examples:
    $ resnas sign small-int8 --private-key key.pem
    $ resnas sign small-int8 --sigstore
    """
    with nullcontext(silent) if sigstore else progress() as show:  # Sigstore asks on the terminal who you are
        show("hashing and signing the files")
        signed = resnas.sign(
            artifact, private_key=private_key, password=password, sigstore=sigstore, signature=signature, force=force
        )
    if as_json:
        print_json(signed.to_json())
        return
    say(f"written: {signed.signature}")
    if private_key:
        say(f"check it: resnas verify {signed.artifact.folder} --public-key KEY.pub")
    else:
        say(f"check it: resnas verify {signed.artifact.folder} --identity YOU --issuer URL")
