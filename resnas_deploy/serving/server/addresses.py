"""Where a server listens, and where it is asked."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from resnas_deploy.errors import BadInput, shown

PROTOCOLS = ("grpc", "http")  # that clients speak
LOOPBACKS = ("127.0.0.1", "::1")
_URL = re.compile(r"(?:(grpc|http)://)?([A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\]):([0-9]{1,5})/?")
# tritonclient's own, which it leaves out where options are given
_UNBOUNDED = (("grpc.max_send_message_length", 2**31 - 1), ("grpc.max_receive_message_length", 2**31 - 1))


@dataclass(frozen=True)
class Ports:
    """The ports of a server's three protocols."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    def __post_init__(self) -> None:
        for name, port in vars(self).items():
            if not 0 < port < 2**16:
                raise BadInput(f"`{name}_port` must be from 1 to 65535, or 0 for a free one, found {port}")

    @staticmethod
    def choose(http: int, grpc: int, metrics: int) -> Ports:
        """Return these ports, with one that nobody listens on in the place of each 0."""
        free = Ports.free()
        return Ports(http or free.http, grpc or free.grpc, metrics or free.metrics)

    @staticmethod
    def free() -> Ports:
        """Return three that nobody listens on."""
        family, host = family_of(loopback()), loopback()
        with socket.socket(family) as a, socket.socket(family) as b, socket.socket(family) as c:
            for one in (a, b, c):
                one.bind((host, 0))
            return Ports(*(one.getsockname()[1] for one in (a, b, c)))

    def check(self, host: str) -> None:
        """Raise `BadInput` where one is taken, or the address is none of this machine's."""
        for name, port in (("HTTP", self.http), ("gRPC", self.grpc), ("metrics", self.metrics)):
            with socket.socket(family_of(host)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    one.bind((host, 0))
                except OSError as error:
                    raise BadInput(
                        f"the address must be one of this machine's, found {host} ({error.strerror})"
                    ) from None
            with socket.socket(family_of(host)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    one.bind((host, port))
                except OSError as error:
                    raise BadInput(
                        f"the {name} port must be free, found {port} taken ({error.strerror}); choose another one"
                    ) from None


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
        """Read `grpc://localhost:8001`, `http://localhost:8000`; gRPC where no protocol is named. Raise `BadInput`."""
        match = _URL.fullmatch(text)
        if not match or not 0 < int(match[3]) < 2**16:
            raise BadInput(f"a server must be given as grpc://HOST:PORT or http://HOST:PORT, found {shown(text)}")
        return Address(match[2], int(match[3]), match[1] or "grpc")


def loopback() -> str:
    """Return the address at which this machine reaches itself alone; a network without IPv4 has the other one."""
    for host in LOOPBACKS:
        try:
            with socket.socket(family_of(host)) as one:
                one.bind((host, 0))
        except OSError:
            continue
        return host
    raise BadInput(f"a server must have a loopback address to listen at ({' or '.join(LOOPBACKS)}), found none")


def check_address(text: str) -> str:
    """Return an IP address as people write it. Raise `BadInput` for others: a host's name may mean several."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise BadInput(f"an address to listen at must be an IP address such as 127.0.0.1, found {text!r:.60}") from None


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches that address."""
    return ipaddress.ip_address(host).is_loopback


def asked_at(host: str) -> str:
    """Return where a server is asked by this machine that listens at an address, or at all of them."""
    found = ipaddress.ip_address(host)
    return host if not found.is_unspecified else LOOPBACKS[found.version == 6]


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of a socket for that address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def bracketed(host: str) -> str:
    """Return an address as it stands before a port."""
    return f"[{host}]" if ":" in host else host
