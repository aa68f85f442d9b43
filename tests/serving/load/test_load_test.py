"""A load test counts what the server counts, measures what perf_analyzer measures, and keeps what it has measured."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal
from support.processes import wait_for
from support.triton_server import NotSettled, command, needs_server, perf_analyzer, started_server

from resnas_deploy.serving.load.asked_model import find_model
from resnas_deploy.serving.load.level import Level, run_level
from resnas_deploy.serving.load.load_test import USUAL_CONCURRENCIES, LoadTest, run_load_test
from resnas_deploy.serving.server.addresses import Address


def test_levels_are_those_asked_for_or_the_usual_ones():
    assert LoadTest.of([1, 8], [50], seconds=1).levels == [Level(1), Level(8), Level(rate=50)]
    usual = [Level(number) for number in USUAL_CONCURRENCIES]
    assert LoadTest.of([], [], seconds=1).levels == usual
    assert LoadTest.of([], [], seconds=1, p99_ms=50).levels == []  # those of the search alone


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({"concurrencies": [0]}, "`concurrencies` must be numbers from 1 to 4096 such as 1,8,32, found 0"),
        ({"concurrencies": [4097]}, "`concurrencies` must be numbers from 1 to 4096 such as 1,8,32, found 4097"),
        ({"rates": [-1.0]}, "`rates` must be more than 0"),
        ({"rates": [math.nan]}, "`rates` must be more than 0"),
        ({"rates": [math.inf]}, "`rates` must be more than 0"),
        ({"demand": 100}, "`plan` must come with `p99`"),
        ({"p99_ms": 0}, "`p99` must be a number above 0"),
        ({"p99_ms": 50, "demand": math.inf}, "`plan` must be a number above 0"),
        ({"seconds": math.nan}, "`seconds` must be a number above 0"),
        ({"seed": -1}, "`seed` must be a whole number from 0"),
    ],
)
def test_a_test_that_cannot_be(test, said):
    wanted = {"concurrencies": [], "rates": [], "seconds": 1} | test
    assert said in refusal(lambda: LoadTest.of(**wanted))


@pytest.fixture(params=["grpc", "http"])
def address(request, server):
    return Address.parse(f"{request.param}://{getattr(server, request.param)}")


@pytest.mark.slow
@needs_server
def test_it_counts_what_the_server_counts_and_what_it_merges(address, tmp_path):
    levels = [Level(concurrency=1), Level(concurrency=16), Level(rate=40)]
    found = run_load_test(LoadTest(levels, seconds=1), [find_model(address, "", 1)])
    assert found.gone is None
    for one in found.levels:
        assert not one.failures
        # The server counts a batch a moment after it has sent the answers.
        assert abs(one.server.inferences - len(one.latencies_s)) <= max(one.server.batches)
        assert one.server.inferences == sum(size * count for size, count in one.server.batches.items())
        assert one.server.compute_us / 1e3 < one.percentile_ms(100)
    alone, many, _ = found.levels
    assert alone.server.mean_batch == 1
    assert many.server.mean_batch > 3
    found.plot(tmp_path / "load.html")
    assert "16 at once" in (tmp_path / "load.html").read_text()


@needs_server
def test_requests_come_at_the_rate_of_a_poisson_process(server):
    target = find_model(Address.parse(server.grpc), "mini", 1)
    found = run_level(target, Level(rate=60), 1, np.random.default_rng(5))
    due = np.cumsum(np.random.default_rng(5).exponential(1 / 60, 500))
    assert len(found.latencies_s) + len(found.failures) == np.count_nonzero(due <= 1)


@needs_server
def test_every_request_that_was_due_feels_a_pause(server):
    """While the server stands still for half a second, a client that waits for answers would see one slow request."""
    (child,) = children(server.process.pid)

    target = find_model(Address.parse(server.grpc), "mini", 1)
    begun = threading.Event()

    def stand_still():
        begun.wait()
        os.kill(child, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(child, signal.SIGCONT)

    class Watched(np.random.Generator):
        """Tells when some requests have been drawn."""

        def exponential(self, scale):
            drawn.append(scale)
            if len(drawn) > 20:
                begun.set()
            return super().exponential(scale)

    drawn, pause = [], threading.Thread(target=stand_still)
    pause.start()
    found = run_level(target, Level(rate=50), 1.5, Watched(np.random.PCG64(0)))
    pause.join()
    assert not found.failures
    assert sum(latency > 0.1 for latency in found.latencies_s) >= 10  # of the 20 that were due in 0.4 s
    assert found.percentile_ms(99) > 300


def children(process):
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@needs_server
def test_what_was_measured_until_the_server_died_is_kept(repository, tmp_path):
    """In the second level of three; the command writes and prints what there is, and then says it."""
    with started_server(repository) as running:
        (child,) = children(running.process.pid)
        target = find_model(Address.parse(f"http://{running.http}"), "mini", 1)
        levels = [Level(concurrency=1), Level(concurrency=2), Level(concurrency=4)]

        def kill_soon():
            before = answered(running)
            wait_for(lambda: answered(running) > before + 5)
            os.kill(child, signal.SIGKILL)

        def progress(words):
            if "2 at once" in words:
                threading.Thread(target=kill_soon).start()

        found = run_load_test(LoadTest(levels, seconds=2), [target], progress=progress)
    first, second = found.levels
    assert first.latencies_s
    assert not first.failures
    assert found.gone is second
    assert second.latencies_s
    assert second.failures


@needs_server
def test_the_command_keeps_what_it_measured_too(repository, tmp_path):
    out = tmp_path / "load.json"
    with started_server(repository) as running:
        (child,) = children(running.process.pid)
        options = ("--model", "mini", "--concurrency", "2", "--seconds", "600", "--out", out)
        with command("triton", "load", running.grpc, *options) as process:
            wait_for(lambda: answered(running) >= 80)  # warm-up counts too
            os.kill(child, signal.SIGKILL)
            said, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "the server must answer until the end, found that it was gone at 2 at once (grpc) after" in err
    assert "2 at once, grpc" in said
    (level,) = json.loads(out.read_text())["levels"]
    assert level["answers"] > 0
    assert level["failures"] > 0
    assert level["server"] is None


def answered(running):
    """Inferences of the model until now."""
    with urllib.request.urlopen(running.metrics) as answer:
        found = re.search(r'nv_inference_count\{model="mini",version="1"\} (\d+)', answer.read().decode())
    return int(found[1]) if found else 0


@needs_server
@pytest.mark.parametrize(
    ("model", "batch", "said"),
    [
        ("nothing", 1, "must be one that the server has ready (mini, mini_jpeg, mini_preprocess), found 'nothing'"),
        ("mini_jpeg", 1, "one network that takes images must be meant, found none"),
        ("mini", 9, "the images of a request must be at most the model's 8, found 9"),
    ],
)
def test_a_model_that_cannot_be_asked(address, model, batch, said):
    assert said in refusal(lambda: find_model(address, model, batch))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nobody_answers(protocol):
    assert "a server must answer at 127.0.0.1:9, found" in refusal(
        lambda: find_model(Address.parse(f"{protocol}://127.0.0.1:9"), "", 1)
    )


def measured(repository, *options):
    """The document of a load test of a folder."""
    with command("triton", "load", repository, "--model", "mini", "--json", *options) as process:
        out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return json.loads(out)


@needs_server
def test_the_command_serves_a_folder(repository):
    found = measured(repository, "--seconds", "0.5", "--protocol", "grpc,http", "--concurrency", "2")
    assert [(level["protocol"], level["concurrency"]) for level in found["levels"]] == [("grpc", 2), ("http", 2)]


@needs_server
@pytest.mark.slow
def test_the_command_searches_the_capacity(repository):
    alone = measured(repository, "--seconds", "2", "--concurrency", "1")["levels"][0]
    limit = 4 * alone["latency_ms"]["p99"]
    found = measured(repository, "--seconds", "0.3", "--p99", f"{limit}ms", "--plan", "10000rps")
    capacity = found["capacity"]["grpc"]["requests_per_second"]
    assert capacity > 0
    assert found["plan"]["grpc"]["servers"] == math.ceil(10_000 / capacity)
    rates = [level for level in found["levels"] if level["rate"]]
    assert capacity in [level["rate"] for level in rates if level["latency_ms"]["p99"] <= limit]
    assert any(level["latency_ms"]["p99"] > limit for level in rates)


@needs_server
@pytest.mark.slow
def test_perf_analyzer_measures_the_same(server, tmp_path):
    """At four requests at once, interleaved: within 15% in one of six pairs, since others may use this machine too."""
    target = find_model(Address.parse(server.grpc), "mini", 1)
    pairs = []
    for _ in range(6):
        ours = run_level(target, Level(concurrency=4), 3, np.random.default_rng(0))
        try:
            theirs = perf_analyzer(server.grpc, server.key, "mini", 4, tmp_path)
        except NotSettled:
            continue
        throughput = ours.requests_per_second / float(theirs["Inferences/Second"])
        median = ours.percentile_ms(50) / (float(theirs["p50 latency"]) / 1e3)
        pairs.append((throughput, median))
        if max(abs(math.log(ratio)) for ratio in pairs[-1]) < math.log(1.15):
            return
    if not pairs:
        pytest.skip("perf_analyzer's own figures do not settle on this machine, which is too busy")
    pytest.fail(f"throughput and p50 over perf_analyzer's: {pairs}")
