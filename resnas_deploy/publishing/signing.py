"""Signatures over the whole folder of an artifact, in the format of OpenSSF Model Signing, by its package.

https://github.com/sigstore/model-transparency describes the format: a Sigstore bundle over the sha256 of every file.
Links are followed when they are signed, since hubs lay files out as links, and the hashes are what counts.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.errors import BadInput, PackageMissing, VerificationFailed, first_few, first_line
from resnas_deploy.files.outputs import output_file
from resnas_deploy.files.reading import read_bytes
from resnas_deploy.files.workplace import scratch_folder

if TYPE_CHECKING:
    from model_signing import hashing

SIGNATURE = "model.sig"  # the usual name, in the artifact's folder
MOST_KEY, MOST_SIGNATURE = 100_000, 10_000_000  # bytes


@dataclass(frozen=True)
class Signer:
    """Who signs: an elliptic curve's private key in a file, or without one an identity of Sigstore, by the network."""

    private_key: Path | None = None
    password: str = ""  # of the key, where it has one


@dataclass(frozen=True)
class Trusted:
    """Whose signature is believed: that of a public key, or of an identity that an OpenID issuer vouches for."""

    public_key: Path | None = None
    identity: str = ""
    issuer: str = ""

    def __str__(self) -> str:
        return f"the key {self.public_key}" if self.public_key else f"{self.identity}, says {self.issuer}"


def check_signing() -> None:
    """Raise `PackageMissing` where the package that signs is not installed."""
    try:
        import model_signing  # noqa: F401  which is imported where it is used
    except ImportError as error:
        raise PackageMissing(
            f"signatures need the package model-signing ({first_line(error)})", "pip install 'resnas[sign]'"
        ) from None


def sign_folder(folder: Path, signature: Path, signer: Signer, *, replace: bool) -> None:
    """Sign every file of a folder but the signature itself, and write the signature, whole or not at all.

    With `replace` one that is there may go.

    Raise `PackageMissing`, `BadInput` for a key that is none, and `StorageError` where nothing can be written.
    """
    check_signing()
    from model_signing import signing

    config = signing.Config()  # type: ignore[no-untyped-call]  # its constructor has no annotation
    if signer.private_key:
        read_bytes(signer.private_key, MOST_KEY)
        try:
            # The package hands it on to cryptography as it is, which wants bytes whatever the package's hint says.
            password: str | None = signer.password.encode() or None  # type: ignore[assignment]  # as said above
            config.use_elliptic_key_signer(private_key=signer.private_key, password=password)
        except (ValueError, TypeError, AttributeError, _unsupported()) as error:
            raise BadInput(
                f"`private_key` must be a private key of an elliptic curve (P-256, P-384, P-521) as PEM, and "
                f"`password` the one that it is encrypted with, found {signer.private_key}: {_of_key(error)}"
            ) from None
    else:
        config.use_sigstore_signer()
    config.set_hashing_config(_hashing(folder, signature))
    with scratch_folder("signature") as scratch:  # not beside it, in the folder that is signed
        with _quiet():
            config.sign(folder, scratch / SIGNATURE)
        with output_file(signature, replace=replace) as partial:
            partial.write_bytes((scratch / SIGNATURE).read_bytes())


def check_signature(folder: Path, signature: Path, trusted: Trusted, *, ignore_unsigned: bool = False) -> None:
    """Hold a folder against its signature, each file by its hash.

    Raise `VerificationFailed` where the signature is another's or a file differs, is missing, or was not signed (unless
    `ignore_unsigned`); `BadInput` where the signature or the key cannot be read; `PackageMissing`.
    """
    check_signing()
    from model_signing import verifying

    try:
        read_bytes(signature, MOST_SIGNATURE)
    except BadInput:
        if signature.exists():
            raise
        raise BadInput(
            f"{folder} must be signed, found no signature at {signature}; ask whoever made it, or name another by "
            "`signature`"
        ) from None
    config = verifying.Config()  # type: ignore[no-untyped-call]  # as above
    config.set_hashing_config(_hashing(folder, signature))
    config.set_ignore_unsigned_files(ignore_unsigned)
    if trusted.public_key:
        read_bytes(trusted.public_key, MOST_KEY)
        try:
            config.use_elliptic_key_verifier(public_key=trusted.public_key)
        except (ValueError, TypeError, AttributeError, _unsupported()) as error:
            raise BadInput(
                f"`public_key` must be a public key of an elliptic curve (P-256, P-384, P-521) as PEM, found "
                f"{trusted.public_key}: {_of_key(error)}"
            ) from None
    else:
        config.use_sigstore_verifier(identity=trusted.identity, oidc_issuer=trusted.issuer)
    try:
        with _quiet():
            config.verify(folder, signature)
    except Exception as error:  # noqa: BLE001  whatever a made-up bundle does to its parsers, it is not believed
        raise VerificationFailed(
            f"{folder} must be as {signature} says, signed by {trusted}, found otherwise: {_reason(error)}; do not use "
            "it, or ask whoever signed it for a new signature"
        ) from None


def _hashing(folder: Path, signature: Path) -> hashing.Config:
    """Return how files are hashed: whole, links followed, and without the signature where it lies in the folder."""
    from model_signing import hashing

    inside = signature.absolute()
    own = [inside.relative_to(folder.absolute())] if inside.is_relative_to(folder.absolute()) else []
    found = hashing.Config().use_file_serialization(hashing_algorithm="sha256")  # type: ignore[no-untyped-call]  # as above
    return found.set_allow_symlinks(True).set_ignored_paths(paths=own)


def _reason(error: Exception) -> str:
    if type(error).__name__ == "InvalidSignature":
        return "the signature is not by that key"
    text = str(error)
    if not text.startswith("Signature mismatch"):
        return first_line(error)
    # A list as Python shows it: where a text in it has both kinds of quotes, single ones come after a backslash.
    changed = [f"{name} was changed" for name in re.findall(r"Hash mismatch for \\?'([^'\\]+)", text)]
    others = [
        f"{names.strip()} {what}"
        for said, what in (("Extra", "was not signed"), ("Missing", "is missing"))
        for names in re.findall(rf"{said} files (?:found )?in model \\?'[^']*': ([^\"']+)", text)
    ]
    return first_few(sorted(changed + others)) or first_line(error)


def _of_key(error: Exception) -> str:
    # RSA's and others have no curve, which the package asks them for.
    return "a key of another kind" if isinstance(error, AttributeError) else first_line(error)


def _unsupported() -> type[Exception]:
    """Return what cryptography raises for a key of a kind that it does not know."""
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the package prints and logs from a command's own output."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
