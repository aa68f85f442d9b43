"""What a client may ask a server, and what only the operator, whose key no other user of the machine can read."""

from __future__ import annotations

import json
import os
import stat
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal as refused
from support.triton_server import FREE, command, needs_server, refusal, started_server
from tritonclient import grpc
from tritonclient.utils import InferenceServerException

from resnas_deploy.serving.repository.releases import SAFE_SINCE, is_safe
from resnas_deploy.serving.server.access import OperatorKey, restrictions
from resnas_deploy.serving.server.addresses import check_address, is_loopback
from resnas_deploy.serving.server.server import ServerSettings, check_exposure

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
SHARED = Path("/dev/shm")
CLOSED = [
    ("POST", "systemsharedmemory/region/x/register", {"key": "/x", "offset": 0, "byte_size": 4096}),
    ("POST", "systemsharedmemory/unregister", {}),
    ("GET", "systemsharedmemory/status", None),
    ("POST", "cudasharedmemory/region/x/register", {"raw_handle": {"b64": ""}, "device_id": 0, "byte_size": 1}),
    ("GET", "cudasharedmemory/status", None),
    ("POST", "logging", {"log_verbose_level": 9}),
    ("GET", "logging", None),
    ("POST", "trace/setting", {"trace_file": "/tmp/traced"}),
    ("POST", "models/mini/trace/setting", {"trace_level": ["TENSORS"]}),
    ("POST", "repository/index", {}),
    ("POST", "repository/models/mini/unload", {}),
    ("POST", "repository/models/mini/load", {}),
]


def http(server, method, path, body=None, headers=None):
    """The status and the text of an answer."""
    asked = urllib.request.Request(
        f"http://{server.http}/v2/{path}",
        None if body is None else json.dumps(body).encode(),
        headers or {},
        method=method,
    )
    try:
        with DIRECT.open(asked, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@needs_server
@pytest.mark.parametrize(("method", "path", "body"), CLOSED, ids=[path for _, path, _ in CLOSED])
def test_a_closed_protocol_over_http(server, method, path, body):
    for headers in ({}, {"resnas-key": ""}, {"resnas-key": "0" * 64}, {"Closed to all": ""}):
        code, text = http(server, method, path, body, headers)
        assert code == 403, text
        assert "restricted" in text
    assert http(server, "GET", "health/ready")[0] == 200


GRPC = {
    "get_log_settings": (),
    "update_log_settings": ({"log_verbose_level": 9},),
    "get_system_shared_memory_status": (),
    "register_system_shared_memory": ("x", "/x", 4096),
    "unregister_system_shared_memory": (),
    "get_cuda_shared_memory_status": (),
    "get_trace_settings": (),
    "update_trace_settings": ("mini", {"trace_level": "TENSORS"}),
    "get_model_repository_index": (),
    "unload_model": ("mini",),
    "load_model": ("mini",),
}


@needs_server
@pytest.mark.parametrize("call", GRPC)
def test_a_closed_protocol_over_grpc(server, call):
    client = grpc.InferenceServerClient(server.grpc)
    for headers in (None, {"triton-grpc-protocol-resnas-key": "0" * 64}):
        with pytest.raises(InferenceServerException, match="restricted"):
            getattr(client, call)(*GRPC[call], headers=headers)
    assert client.is_model_ready("mini")
    client.close()


@needs_server
def test_what_clients_need_is_open(server):
    client = grpc.InferenceServerClient(server.grpc)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "triton"
    assert client.get_model_metadata("mini").versions == ["1"]
    assert client.get_model_config("mini").config.max_batch_size == 8
    assert client.get_inference_statistics("mini").model_stats
    client.close()


@needs_server
def test_the_operators_key_opens_and_only_its_owner_reads_it(server):
    path = Path(server.key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    key = path.read_text().strip()
    assert len(key) == 64
    assert http(server, "GET", "logging", headers={"resnas-key": key})[0] == 200
    client = grpc.InferenceServerClient(server.grpc)
    assert client.get_log_settings(headers={"triton-grpc-protocol-resnas-key": key})
    client.close()
    for entry in Path("/proc").iterdir():  # what every user of the machine can read
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            assert key.encode() not in line
    assert key.encode() not in (path.parent / "server.log").read_bytes()


@needs_server
def test_the_servers_memory_is_for_nobody_else(server):
    """Neither a client, by its name, nor another user of the machine, who sees the name."""
    regions = list(SHARED.glob(f"resnas_{server.process.pid}_*"))
    assert regions
    for region in regions:
        assert stat.S_IMODE(region.stat().st_mode) == 0o600
        body = {"key": f"/{region.name}", "offset": 0, "byte_size": 4096}
        assert http(server, "POST", "systemsharedmemory/region/x/register", body)[0] == 403


@pytest.mark.slow
@needs_server
def test_a_key_of_ones_own_and_where_arguments_cannot_be_hidden(repository, tmp_path):
    """There no key is put where others could read it: they are closed to everybody."""
    (tmp_path / "key").write_text("the-operators-own-key\n")
    with started_server(repository, "--key-file", tmp_path / "key") as running:
        code, _ = http(running, "GET", "logging", headers={"resnas-key": "the-operators-own-key"})
        assert code == 200
        with command("triton", "check", repository, "--url", running.grpc, "--key-file", running.key) as process:
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, out + err


@needs_server
@pytest.mark.slow
def test_where_arguments_cannot_be_hidden_protocols_are_closed_to_everybody(repository, tmp_path):
    """A filter of system calls refuses ptrace(2), as some containers' does."""
    (tmp_path / "key").write_text("the-operators-own-key\n")
    with started_server(
        repository, "--key-file", tmp_path / "key", before=["python3", "-c", WITHOUT_PTRACE]
    ) as running:
        assert running.key is None
        for headers in ({"resnas-key": "the-operators-own-key"}, {"Closed to all": ""}):
            assert http(running, "GET", "logging", headers=headers)[0] == 403
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and (entry / "cmdline").exists():
                assert b"the-operators-own-key" not in (entry / "cmdline").read_bytes()


WITHOUT_PTRACE = """
import ctypes, os, struct, sys
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, 101), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
pointer = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(program)))
libc = ctypes.CDLL(None)
libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
assert libc.prctl(38, 1, None, 0, 0) == 0 and libc.prctl(22, 2, ctypes.addressof(pointer), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("text", ["", "short", "x" * 129, "with a space in its middle", "a" * 20 + ",b:c=d", "ä" * 20])
def test_a_key_that_is_none(tmp_path, text):
    (tmp_path / "key").write_text(text)
    assert "must be 16 to 128 letters" in refused(lambda: OperatorKey.read(tmp_path / "key"))
    assert "must be a readable file" in refused(lambda: OperatorKey.read(tmp_path / "nothing"))
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        assert "must be a file, found a " in refused(lambda path=path: OperatorKey.read(path))


def test_a_key_is_not_shown():
    key = OperatorKey.new()
    assert key.text not in repr(key)
    assert key.text not in repr(ServerSettings(key=key))
    assert OperatorKey.new() != key
    assert len(restrictions(key)) == len(restrictions(None)) == 2
    assert all(option.endswith(f":resnas-key={key.text}") for option in restrictions(key))


@needs_server
def test_another_address_is_refused(repository):
    for address in ("0.0.0.0", "::"):
        line = refusal("triton", "serve", repository, *FREE, "--address", address)
        assert f"must be Triton {SAFE_SINCE} or newer, found 24.10" in line
        assert "--risk-known" in line
    assert "must be an IP address" in refusal("triton", "serve", repository, *FREE, "--address", "localhost")
    assert "must be one of this machine's, found 192.0.2.1" in refusal(
        "triton", "serve", repository, *FREE, "--address", "192.0.2.1"
    )


@pytest.mark.parametrize(
    ("release", "host", "risk", "may"),
    [
        ("24.10", "127.0.0.1", False, True),
        ("24.10", "127.0.0.5", False, True),
        ("24.10", "::1", False, True),
        ("24.10", "0.0.0.0", False, False),
        ("24.10", "10.0.0.1", False, False),
        ("24.10", "0.0.0.0", True, True),
        ("26.06", "::", False, False),
        ("26.08", "0.0.0.0", False, True),
        ("", "0.0.0.0", False, False),
        ("newest", "0.0.0.0", False, False),
    ],
)
def test_who_may_be_reached_by_others(release, host, risk, may):
    settings = ServerSettings(host=check_address(host), risk_known=risk)
    if may:
        check_exposure(settings, release)
    else:
        assert "give `risk_known`" in refused(lambda: check_exposure(settings, release))


def test_releases_and_addresses():
    assert is_safe(SAFE_SINCE)
    assert not is_safe("25.07")
    assert not is_safe("")
    assert is_loopback("127.0.0.1")
    assert not is_loopback("0.0.0.0")
    assert "must be an IP address" in refused(lambda: check_address("example.com"))


@needs_server
def test_no_message_tells_a_place_of_the_server(server, repository):
    """A client learns its own mistake, and no name of a file, of shared memory or of a function."""
    client = grpc.InferenceServerClient(server.grpc)
    told = []
    for model, name, value, kind in (
        ("mini_jpeg", "image", np.array([[b"none"]], dtype=object), "BYTES"),
        ("mini_jpeg", "image", np.array([[b"x" * (33 * 2**20)]], dtype=object), "BYTES"),
        ("mini_preprocess", "image", np.array([[b""]], dtype=object), "BYTES"),
        ("mini", "images", np.zeros((9, 3, 112, 112), np.float32), "FP32"),
        ("nothing", "images", np.zeros((1, 3, 112, 112), np.float32), "FP32"),
    ):
        given = grpc.InferInput(name, list(value.shape), kind)
        given.set_data_from_numpy(value)
        with pytest.raises(InferenceServerException) as failed:
            client.infer(model, [given])
        told.append(failed.value.message())
    client.close()
    told += [http(server, "POST", f"models/{name}/infer", {"inputs": 5})[1] for name in ("mini", "mini_jpeg", "none")]
    place = Path(server.key).parent
    for text in told:
        for private in (place.name, str(place.parent) + os.sep, str(repository), "Traceback", ".py", "/dev/shm"):
            assert private not in text
