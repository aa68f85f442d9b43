"""Served models ask for huge pages, and a large batch costs the small ones after it no memory calls."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.places import ROOT
from support.triton_server import needs_server, started_server
from tritonclient import grpc

from resnas_deploy.serving.server.huge_pages import TUNABLE, VARIABLE, ask_for_huge_pages

MODE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
on_request = pytest.mark.skipif(
    not MODE.exists() or "[madvise]" not in MODE.read_text(), reason="the kernel gives huge pages to all or to none"
)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, f"{TUNABLE}=1"),
        ("", f"{TUNABLE}=1"),
        ("glibc.malloc.arena_max=2", f"glibc.malloc.arena_max=2:{TUNABLE}=1"),
        (f"{TUNABLE}=0", f"{TUNABLE}=0"),
        (f"glibc.malloc.arena_max=2:{TUNABLE}=2", f"glibc.malloc.arena_max=2:{TUNABLE}=2"),
    ],
)
def test_what_the_user_has_set_stays(given, found):
    environment = {} if given is None else {VARIABLE: given}
    ask_for_huge_pages(environment)
    assert environment == {VARIABLE: found}


def test_the_image_asks_as_serve_does():
    (line,) = re.findall(rf"^ENV {VARIABLE}=(.*)$", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    environment: dict[str, str] = {}
    ask_for_huge_pages(environment)
    assert line == environment[VARIABLE]


@needs_server
@on_request
def test_the_network_lies_in_memory_that_asks_for_huge_pages(server):
    assert _asks_for_huge_pages(_stub(server))


@pytest.mark.slow
@needs_server
@on_request
def test_not_against_the_users_will(repository):
    with started_server(repository, env={VARIABLE: f"{TUNABLE}=0"}) as running:
        assert not _asks_for_huge_pages(_stub(running))


@needs_server
def test_no_page_faults_after_a_large_batch(server):
    client, counted = grpc.InferenceServerClient(server.grpc), []
    (most,) = {client.get_model_config("mini").config.max_batch_size}
    stub = _stub(server)
    for batch in (most, *[1] * 20):
        images = np.zeros((batch, 3, 112, 112), np.float32)
        given = grpc.InferInput("images", list(images.shape), "FP32")
        given.set_data_from_numpy(images)
        before = _minor_faults(stub)
        client.infer("mini", [given])
        counted.append(_minor_faults(stub) - before)
    client.close()
    # Memory that is given back and taken again for each request would cost 37 faults for an image of 150 kB alone.
    assert np.median(counted[1:]) <= 2, counted


def _stub(server):
    """The folder in /proc of the process that runs the network."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"resnas_{server.process.pid}_" in command and "stub" in command and "/mini/" in command:
                found.append(process)
    (stub,) = found
    return stub


def _asks_for_huge_pages(process):
    """Whether the kernel was asked for huge pages of its heap: `hg` in its flags (proc_pid_smaps(5))."""
    heap = (process / "smaps").read_text().partition("[heap]")[2]
    return " hg" in next(line for line in heap.splitlines() if line.startswith("VmFlags:"))


def _minor_faults(process):
    return int((process / "stat").read_text().rpartition(")")[2].split()[7])
