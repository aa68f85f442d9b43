"""Finalists that miss the limit when they are measured: the search goes on with the next ones, so many and no more."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.checks import check_schema, refusal
from support.made_up_measuring import measurement, report
from support.places import SEARCHED
from support.small_reference import make_small
from support.small_search import model_of, write_given

import resnas_deploy as resnas
from resnas_deploy.measuring.latency.bounds import RUNS
from resnas_deploy.searching.found import read_found
from resnas_deploy.searching.measured import Measured, read_measured, waiting
from resnas_deploy.searching.measured_limits import MeasuredLimit

FEW = {"iterations": 2, "first": 6, "children": 4, "parents": 3, "finalists": 2, "tries": 5}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write_given(tmp_path_factory.mktemp("search"))


@pytest.fixture(scope="module")
def missed(given, tmp_path_factory):
    """A search by a model that is far too hopeful, and what was logged."""
    lines = list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("resnas_deploy.searching")
    logger.addHandler(handler)
    out = tmp_path_factory.mktemp("missed") / "found"
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setattr)
        found = resnas.search(**given, **FEW, max_latency="100%", model=model_of(1e-6), out=out)
    logger.removeHandler(handler)
    return found, lines


def test_where_none_keeps_the_limit_the_next_ones_are_measured_and_none_wins(missed):
    found, lines = missed
    assert (len(found.measured), len(found.keeping)) == (5, 0)
    assert lines == [f"none of {count} finalists keeps the limits as measured; going on" for count in (2, 4)]
    figures = read_measured(found.out / "measured.json", read_found(found.out))
    assert [len(one.measurements) - 1 for one in figures.reports] == [2, 2, 1]  # beside the anchor
    message = refusal(lambda: found.best)
    nearest = min(found.finalists, key=lambda item: item.measured_ms)
    assert "one of 5 finalists must be measured within p50 of at most " in message
    name, ms = nearest.artifact.folder.name, nearest.measured_ms
    assert f"found none: the nearest, {name}, has p50 {ms:.3g} ms" in message
    assert not (found.out / "arch.json").exists()
    document = json.loads(json.dumps(found.to_json()))
    assert (document["measured"], document["keeping_limits"], document["arch"]) == (5, 0, None)
    check_schema("search", document)
    assert found.table().rows[0][-1] == f"{found.finalists[0].measured_ms:.3g}, beyond the limit"


def test_the_next_ones_are_those_that_should_keep_it_if_all_take_so_much_more(missed):
    """The first two are the most accurate; the model being far too hopeful, the next are the cheapest there are."""
    found, _ = missed
    first = sorted(found.evaluated.candidates, key=lambda item: item.rank, reverse=True)[:2]
    assert [item.candidate for item in found.finalists[:2]] == first
    others = [item for item in found.evaluated.candidates if item not in first]
    cheapest = sorted({item.costs[0] for item in others})[:3]
    assert [item.candidate.costs[0] for item in found.finalists[2:]] == cheapest


def test_with_more_tries_it_goes_on_and_measures_nothing_again(given, missed, tmp_path, small_reference):
    found, _ = missed
    shutil.copytree(found.out, tmp_path / "found")
    before = read_measured(found.out / "measured.json", read_found(found.out))
    changes = {"tries": 6, "out": tmp_path / "found", "resume": True}
    more = resnas.search(**given, **FEW | changes, max_latency="100%", model=model_of(1e-6))
    assert [item.artifact.digest for item in more.measured[:5]] == [item.artifact.digest for item in found.finalists]
    assert len(more.measured) == 6
    after = read_measured(more.out / "measured.json", read_found(more.out))
    assert after.reports[:3] == before.reports


def test_one_round_is_enough_where_one_keeps_the_limit(given, tmp_path, small_reference):
    wanted = {"max_latency": "80%", "percentile": "p90"}
    found = resnas.search(**given, **FEW, **wanted, model=model_of(1e6), out=tmp_path / "found")
    assert len(found.measured) == len(found.keeping) == len(found.finalists) == 2
    assert [limit.figure for limit in found.limits] == ["p90"]
    assert sum(map(len, found.best.measurement.samples_s)) == RUNS["p90"], "enough to tell that percentile"
    assert found.best.candidate in found.evaluated.candidates
    assert found.winner == found.best
    again = found.best.export(tmp_path / "again", batch=1, threads=1)
    assert again.manifest.weights_sha256 == found.best.artifact.manifest.weights_sha256


def figures(found, *times_ms):
    """Made-up figures of the first finalists."""
    taken = [
        measurement([[ms / 1e3] * 3], digest=item.digest, source=item.artifact)
        for item, ms in zip(found.finalists, times_ms, strict=False)
    ]
    return Measured(found.setting, (report(*taken),) if taken else ())


def test_what_is_measured_next(missed):
    found = replace(read_found(missed[0].out), limits=(MeasuredLimit("p50", 2.0),))
    places = {item.digest: number for number, item in enumerate(found.finalists)}

    def after(*times_ms):
        return [places[item.digest] for item in waiting(found, figures(found, *times_ms))]

    assert after() == [0, 1]
    assert after(1) == [1], "of a round that was begun, all"
    assert after(1, 3) == after(3, 2) == []
    assert after(3, 3) == [2, 3]
    assert after(3, 3, 3, 3) == [4]
    assert after(3, 3, 3, 3, 3) == []


@pytest.mark.parametrize(
    ("limit", "share", "said"),
    [
        (MeasuredLimit("p50", 11.0), 0.5, "p50 of at most 11 ms"),
        (MeasuredLimit("p90", 9.1), 1.0, "p90 of at most 9.1 ms"),
        (MeasuredLimit("p99", 4.955), 2.0, "p99 of at most 4.96 ms"),
        (MeasuredLimit("throughput", 2000 / 5.5), 2.0, "throughput of at least 364 images/s"),
    ],
)
def test_how_much_of_a_limit_is_used_up(limit, share, said):
    assert limit.share(measurement([[n / 1e3 for n in range(1, 11)]])) == pytest.approx(share)
    assert limit.share(measurement((), failure="no memory")) == limit.share(None) == float("inf")
    assert str(limit) == said
    assert "a limit must be above 0, found 0" in refusal(lambda: replace(limit, bound=0.0))


KILLED = """
import os, signal, sys
import resnas_deploy as resnas
from resnas_deploy.searching import finish
from resnas_deploy.searching.found import Found
from resnas_deploy.searching.measured import Measured
from support.small_reference import make_small
from support.small_search import model_of
from test_rounds import FEW

left = {"found": -1, "measured": -1, "winner": -1} | {sys.argv[1]: int(sys.argv[2])}

def counted(name, function):
    def called(*arguments):
        function(*arguments)
        left[name] -= 1
        if left[name] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return called

make_small()
Found.write = counted("found", Found.write)
Measured.write = counted("measured", Measured.write)
finish.save = counted("winner", finish.save)
resnas.search(sys.argv[3], data=sys.argv[4], out=sys.argv[5], max_latency="80%", model=model_of(1e6), **FEW)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("step", "count"), [("found", 1), ("found", 2), ("measured", 1), ("winner", 1)])
def test_a_search_that_is_killed_between_its_steps_goes_on(given, tmp_path, small_reference, step, count):
    out = tmp_path / "found"
    command = [sys.executable, "-c", KILLED, step, str(count), str(given["supernet"]), str(given["data"]), str(out)]
    path = os.pathsep.join([SEARCHED, str(Path(__file__).parent)])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    files = [*out.glob("finalists/*/manifest.json"), *out.glob("measured.json")]
    assert len(files) == {"found": count, "measured": 3, "winner": 3}[step]
    before = {file: file.stat().st_mtime_ns for file in files}
    found = resnas.search(**given, **FEW, max_latency="80%", model=model_of(1e6), out=out, resume=True)
    assert {file: file.stat().st_mtime_ns for file in files} == before, "what was there is as it was"
    whole = resnas.search(**given, **FEW, max_latency="80%", model=model_of(1e6), out=tmp_path / "whole")
    assert found.best.candidate == whole.best.candidate
    assert (out / "checkpoint.safetensors").read_bytes() == (tmp_path / "whole" / "checkpoint.safetensors").read_bytes()
