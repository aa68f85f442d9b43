"""Where a server is: what people write after `--url`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from resnas_deploy.errors import BadInput, shown

_URL = re.compile(r"(?:(grpc|http)://)?([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):([0-9]{1,5})/?")
# tritonclient's own, which it leaves out where options are given
_UNBOUNDED = (("grpc.max_send_message_length", 2**31 - 1), ("grpc.max_receive_message_length", 2**31 - 1))


@dataclass(frozen=True)
class Address:
    """A host, a port, and which protocol is spoken there."""

    host: str
    port: int
    protocol: str = "grpc"

    @property
    def text(self) -> str:
        """As tritonclient takes it."""
        return f"{self.host}:{self.port}"

    @property
    def channel(self) -> Sequence[tuple[str, int]]:
        """Options of a gRPC channel: a proxy in the environment knows nothing of this machine's loopback."""
        is_local = self.host == "localhost"
        with suppress(ValueError):
            is_local = ipaddress.ip_address(self.host.strip("[]")).is_loopback
        return [*_UNBOUNDED, *([("grpc.enable_http_proxy", 0)] if is_local else [])]

    @staticmethod
    def parse(text: str) -> Address:
        """`grpc://localhost:8001`, `http://localhost:8000`; gRPC where no protocol is named. Raises `BadInput`."""
        match = _URL.fullmatch(text)
        if not match or not 0 < int(match[3]) < 2**16:
            raise BadInput(f"a server must be given as grpc://HOST:PORT or http://HOST:PORT, found {shown(text)}")
        return Address(match[2], int(match[3]), match[1] or "grpc")
