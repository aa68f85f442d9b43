"""Which of a server's protocols are open to anybody, and the key of the operator for the others.

A client of the shared-memory protocol may name any region, the Python backend's own too, and have results written over
it; one of the logging and trace protocols may fill disks and name files to write; one of the model-repository protocol
may unload what is served. What clients need is open: health, metadata, inference, and what a load test asks for.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import read_bytes

CLOSED = ("shared-memory", "logging", "trace", "model-repository")
HEADER = "resnas-key"
HTTP_OPTION, GRPC_OPTION = "--http-restricted-api", "--grpc-restricted-protocol"
_GRPC_PREFIX = "triton-grpc-protocol-"  # Triton's own, before the name of the header
_MOST_BYTES = 1000  # of a key's file
_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}")
# No request has a header of that name or such a value: HTTP ends both at the line's end, and gRPC has lower case alone.
_NOBODY = "Closed to all=\n"


@dataclass(frozen=True)
class OperatorKey:
    """What an operator's requests carry."""

    text: str = field(repr=False)

    @staticmethod
    def new() -> OperatorKey:
        """Return one that nobody can guess."""
        return OperatorKey(secrets.token_hex(32))

    @staticmethod
    def read(path: Path) -> OperatorKey:
        """Return the key in a file, which ends with a line's end or without. Raise `BadInput`."""
        try:
            text = read_bytes(path, _MOST_BYTES).decode("ascii", "replace").strip()
        except BadInput as error:
            raise BadInput(f"the key must be in a file: {error}") from None
        if not _KEY.fullmatch(text):
            raise BadInput(
                f"the key in {path} must be 16 to 128 letters, digits, dashes and underscores, found something else; "
                "make one: openssl rand -hex 32"
            )
        return OperatorKey(text)

    def headers(self, protocol: str) -> Mapping[str, str]:
        """Return the header of a request over `grpc` or `http`."""
        return {(_GRPC_PREFIX if protocol == "grpc" else "") + HEADER: self.text}


def restrictions(key: OperatorKey | None) -> tuple[str, ...]:
    """Return the server's options that close its protocols to whoever has not the key; without one to everybody."""
    value = f"{HEADER}={key.text}" if key else _NOBODY
    return tuple(f"{option}={','.join(CLOSED)}:{value}" for option in (HTTP_OPTION, GRPC_OPTION))
