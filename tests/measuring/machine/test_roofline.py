"""The least time under a ceiling, and the cache that ceilings are kept in."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.checks import refusal

from resnas_deploy.arch.cost import breakdown, macs, parameters
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.errors import NotAvailable
from resnas_deploy.files.user_folders import cache_folder
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.machine.roofline import (
    Ceiling,
    Ceilings,
    library_versions,
    measure_ceiling,
    minimum_seconds,
    read_ceilings,
    write_ceilings,
)

MACHINE = Machine("A CPU", 2, "Linux x86_64", "3.11.2")
SMALL = PUBLISHED["small"].arch
FAST = 1e30  # a rate that is no limit


def made(machine=MACHINE, device="cpu", precision="fp32", threads=2, **changes):
    values = {"flops": 4e11, "flops_by": "torch, 2 x 2 x 2", "bytes_per_second": 5e10, "bytes_by": "numpy, copy"}
    return Ceiling(
        machine, device, precision, threads, **values | {"libraries": library_versions(), "warnings": ()} | changes
    )


@pytest.mark.parametrize("batch", [1, 7])
def test_bound_by_arithmetic(batch):
    found = minimum_seconds(SMALL, batch, "fp32", made(bytes_per_second=FAST))
    assert found == pytest.approx(2 * macs(SMALL) * batch / 4e11)


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("fp16", 2), ("bf16", 2), ("int8", 1), ("fp8", 1)])
def test_bound_by_traffic(precision, size):
    """Weights once a pass, values written and read for each image; attention's scores do not count."""
    scores = 0
    for index, stage in enumerate(SMALL.stages):
        scores += (SMALL.side(index) ** 2 + 1) ** 2 * sum(block.heads for block in stage.blocks)
    values = sum(cost.values for cost in breakdown(SMALL)) - scores
    assert 0 < scores < values
    for batch in (1, 16):
        found = minimum_seconds(SMALL, batch, precision, made(flops=FAST))
        assert found == pytest.approx(size * (parameters(SMALL) + 2 * values * batch) / 5e10)


def test_windows_move_as_much_through_memory_and_pooled_keys_less():
    def seconds(mixer):
        stages = tuple(replace(s, blocks=tuple(replace(b, mixer=mixer) for b in s.blocks)) for s in SMALL.stages)
        return minimum_seconds(replace(SMALL, stages=stages), 16, "fp32", made(flops=FAST))

    assert seconds("window2") == seconds("global")
    assert seconds("pooled2") < 0.95 * seconds("global")


def test_each_element_takes_the_longer_of_the_two():
    """At rates where some elements are bound by arithmetic and some by traffic, the sum exceeds both bounds."""
    both = made(flops=4e11, bytes_per_second=1e10)
    alone = (replace(both, bytes_per_second=FAST), replace(both, flops=FAST))
    one, other = (minimum_seconds(SMALL, 1, "fp32", limit) for limit in alone)
    assert max(one, other) * 1.01 < minimum_seconds(SMALL, 1, "fp32", both) < one + other


class Measuring:
    """Measures by counting."""

    def __init__(self, **changes):
        self.asked, self.told, self.changes = [], [], changes

    def measure(self, machine, device, precision, threads):
        self.asked.append((device, precision, threads))
        return made(machine, device, precision, threads, flops=1e9 * len(self.asked), **self.changes)

    def ceiling(self, folder, machine=MACHINE, device="cpu", precision="fp32", threads=2):
        """As another process would ask."""
        return Ceilings(machine, folder, self.measure).of(device, precision, threads, self.told.append)


def test_measured_once_and_remembered_without_a_folder():
    bench = Measuring(warnings=("the machine was busy",))
    ceilings = Ceilings(MACHINE, None, bench.measure)
    assert ceilings.of("cpu", "fp32", 2) == ceilings.of("cpu", "fp32", 2)
    assert ceilings.of("cpu", "bf16", 2).flops == 2e9
    assert len(bench.asked) == 2


def test_measured_once_and_kept(tmp_path):
    bench, folder = Measuring(), tmp_path / "new" / "cache"
    first = bench.ceiling(folder)
    assert bench.told == ["measuring what this machine can do at most in fp32 on cpu with 2 threads"]
    assert bench.ceiling(folder) == first
    assert len(bench.asked) == len(bench.told) == 1
    assert [path.name for path in folder.iterdir()] == [f"ceilings-{MACHINE.slug}.json"]


def test_what_differs_is_measured_beside_the_others(tmp_path):
    bench = Measuring()
    asked = [{}, {"precision": "bf16"}, {"threads": 1}, {"device": "cuda:0"}, {"machine": replace(MACHINE, cores=3)}]
    found = [bench.ceiling(tmp_path, **one) for one in asked]
    assert [one.flops for one in found] == [1e9, 2e9, 3e9, 4e9, 5e9]
    assert [bench.ceiling(tmp_path, **one) for one in asked] == found
    assert len(bench.asked) == 5


def test_other_library_versions_replace_it(tmp_path):
    old = Measuring(libraries={"torch": "1.0"})
    old.ceiling(tmp_path)
    old.ceiling(tmp_path, precision="bf16")
    bench = Measuring()
    assert bench.ceiling(tmp_path).libraries == library_versions()
    assert len(bench.asked) == 1
    (path,) = tmp_path.iterdir()
    kept = [(one["precision"], one["libraries"]) for one in json.loads(path.read_text())["ceilings"]]
    assert kept == [("bf16", {"torch": "1.0"}), ("fp32", library_versions())]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b'{"schema": 1}',
        b'{"schema": 2, "ceilings": []}',
        b'{"schema": 1, "ceilings": [{"flops": "fast"}]}',
        b"[" * 100_000,
    ],
)
def test_a_corrupt_cache_is_set_aside(tmp_path, content, caplog):
    path = tmp_path / f"ceilings-{MACHINE.slug}.json"
    path.write_bytes(content)
    bench = Measuring()
    found = bench.ceiling(tmp_path)
    aside = tmp_path / f"{path.name}.corrupt"
    assert aside.read_bytes() == content
    (note,) = caplog.messages
    assert f"it is now {aside.name}" in note
    assert note.isprintable()
    assert bench.ceiling(tmp_path) == found
    assert len(bench.asked) == 1


def test_a_busy_machines_ceiling_is_used_and_not_kept(tmp_path):
    bench = Measuring(warnings=("the machine was busy",))
    assert bench.ceiling(tmp_path).flops == 1e9
    assert "is not kept: the machine was busy" in bench.told[-1]
    assert bench.ceiling(tmp_path).flops == 2e9
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path, caplog):
    (tmp_path / "file").touch()
    bench = Measuring()
    assert bench.ceiling(tmp_path / "file" / "cache").flops == 1e9
    assert caplog.messages[-1].startswith("the ceilings are not kept: ")


def test_what_cannot_be_measured_is_not_kept(tmp_path):
    def measure(*_):
        raise NotAvailable("no GPU")

    with pytest.raises(NotAvailable, match="no GPU"):
        Ceilings(MACHINE, tmp_path, measure).of("cuda:0", "fp32", 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_CACHE_HOME": "/elsewhere"}, Path("/elsewhere/resnas")),
        ({"XDG_CACHE_HOME": "relative"}, Path.home() / ".cache/resnas"),  # the specification: not to be followed
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/resnas"),
        ({}, Path.home() / ".cache/resnas"),
    ],
)
def test_where_the_cache_is(environment, folder):
    assert cache_folder(environment) == folder


def test_a_file_and_back(tmp_path):
    path, found = tmp_path / "ceilings.json", (made(warnings=("busy",)), made(device="cuda:0"))
    write_ceilings(path, found)
    assert read_ceilings(path) == found
    path.write_text(path.read_text().replace("400000000000.0", '"fast"'))
    message = refusal(lambda: read_ceilings(path))
    assert "ceilings[0].flops must be a finite number, found 'fast'" in message


def test_the_versions_are_those_that_are_here():
    import torch

    assert library_versions()["torch"] == torch.__version__


@pytest.mark.slow
def test_this_machines():
    found = measure_ceiling(MACHINE, "cpu", "fp32", len(os.sched_getaffinity(0)))
    assert 1e9 < found.flops < 1e15
    assert 1e8 < found.bytes_per_second < 1e13
