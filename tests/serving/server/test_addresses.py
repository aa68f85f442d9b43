"""What people write for a server's address, and what is none."""

from __future__ import annotations

import pytest
from support.checks import refusal

from resnas_deploy.serving.server.addresses import Address, Ports


@pytest.mark.parametrize("text", ["grpc://", "localhost", "ftp://a:1", "a:0", "a:70000", "a:1/b", "a b:1"])
def test_addresses_that_are_none(text):
    assert "a server must be given as grpc://HOST:PORT" in refusal(lambda: Address.parse(text))


def test_addresses_as_people_write_them():
    for text in ("localhost:8001", "grpc://localhost:8001/"):
        assert Address.parse(text) == Address("localhost", 8001, "grpc")
    assert Address.parse("http://[::1]:8000") == Address("[::1]", 8000, "http")


def test_free_ports_take_the_place_of_zeros():
    chosen = Ports.choose(8000, 0, 0)
    assert chosen.http == 8000
    assert len({chosen.http, chosen.grpc, chosen.metrics}) == 3
    assert "`grpc_port` must be from 1 to 65535" in refusal(lambda: Ports(grpc=-1))
