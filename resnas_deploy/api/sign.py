"""Signing artifacts, so that whoever gets one knows from whom it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact, open_artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_new_file
from resnas_deploy.publishing.signing import SIGNATURE, Signer, sign_folder


@dataclass(frozen=True)
class Signed:
    """An artifact that was signed."""

    artifact: Artifact
    signature: Path

    def to_json(self) -> dict[str, object]:
        """Return what `resnas sign --json` prints."""
        return {"artifact": self.artifact.source, "signature": str(self.signature)}


@checked
def sign(
    artifact: str | Path | Artifact,
    *,
    private_key: str | Path = "",
    password: str = "",
    sigstore: bool = False,
    signature: str | Path = "",
    force: bool = False,
) -> Signed:
    """Sign every file in an artifact's folder, engines and card included, in the format of OpenSSF Model Signing.

    Args:
        artifact: a folder, or an artifact that is open.
        private_key: a PEM file with the private key of an elliptic curve (P-256, P-384 or P-521).
        password: what the key is encrypted with, where it is.
        sigstore: sign with an identity instead of a key, over the network, by the public Sigstore: it asks in a browser
            who you are, or in CI takes the identity of the job, and writes it in a public log.
        signature: the signature's file; model.sig in the artifact's folder where none is named.
        force: replace a signature that is there.

    Raise `BadInput` for an artifact that is not whole or a key that is none, and `PackageMissing` without
    `resnas[sign]`.
    """
    if bool(private_key) == sigstore:
        raise BadInput("who signs must be told: give `private_key`, or `sigstore` for an identity, and not both")
    if password and not private_key:
        raise BadInput("`password` is that of `private_key`, which is not given; leave it out")
    opened = open_artifact(artifact)
    path = Path(signature) if signature else opened.folder / SIGNATURE
    check_new_file(path, replace=force, field="signature")
    sign_folder(opened.folder, path, Signer(Path(private_key) if private_key else None, password), replace=force)
    return Signed(opened, path)
