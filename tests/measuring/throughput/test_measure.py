"""The best setting of real artifacts on real runtimes, and of measurements that were made up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.made_up_measuring import Fake, configuration, measurement
from support.small_reference import make_small

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.baseline import configurations_here, opened_networks, plan_again
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.gate import comparison_key
from resnas_deploy.measuring.plan import Effort, Subject, ThroughputSetting
from resnas_deploy.measuring.report import read_report
from resnas_deploy.measuring.throughput import measure as measuring
from resnas_deploy.measuring.throughput.limits import Limits
from resnas_deploy.measuring.throughput.measure import best_of, measure_throughput, throughput_over

QUICK = {"minutes": 0.05, "runs": 2, "batches": [1, 2]}


@pytest.fixture(scope="module")
def network(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.fixture(scope="module")
def report(mini_artifact):
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch.setattr)
        return resnas.bench(mini_artifact, runners=["ort-cpu", "openvino"], threads=2, streams="auto", **QUICK)


def test_each_runner_has_its_own_best(report, mini_artifact, tmp_path):
    assert [(best.source, best.runner) for best in report.best] == [
        (str(mini_artifact), runner) for runner in ("ort-cpu", "openvino")
    ]
    for best, search in zip(report.best, report.throughput, strict=True):
        assert best.setting in {each.setting for each in search.tried} | {ThroughputSetting(1, 2, 1)}
        assert best.images_per_second.low <= best.images_per_second.value <= best.images_per_second.high
        assert 0 < best.batch_p50_ms <= best.batch_p99_ms
        assert best.smallest_batch == 1
        assert best.over_smallest_batch.value > 0
        assert best.over_one_stream.low <= best.over_one_stream.value <= best.over_one_stream.high
        kept = {"one_batch", "over_one", "single_batch", "over_single"}  # as documents of before have them
        assert kept <= {*report.to_json()["throughput"][0]["best"]}
    report.save(tmp_path / "best.json")
    assert read_report(tmp_path / "best.json").to_json() == json.loads(json.dumps(report.to_json()))
    table = report.throughput_table()
    assert len(table.rows) == 2
    assert "settings of at most 80 tried" in table.title


def test_what_is_measured_in_the_end_has_all_it_is_compared_with(report):
    for best in report.best:
        settings = {
            (c.streams, c.threads, c.batch): item
            for item in report.measurements
            if (c := item.configuration).runner == best.runner
        }
        assert (1, 2, best.smallest_batch) in settings
        assert (1, 2, best.one_stream_batch) in settings
        measured = settings[best.streams, best.threads, best.batch]
        assert (measured.batches_s is not None) == (best.streams > 1)
        if measured.batches_s:
            rounds = sum(map(len, measured.samples_s))
            assert sum(map(len, measured.batches_s)) == rounds * best.streams * 2


def test_a_baseline_of_it_is_measured_again_setting_by_setting(report):
    there = [item.configuration for item in report.measurements]
    with opened_networks(there, [], lambda _: None) as networks:
        plan = plan_again(there, networks, Effort(runs=2, openings=2))
        assert {comparison_key(item) for item in there} <= {comparison_key(item) for item in configurations_here(plan)}


def test_threads_that_are_no_equal_share(mini_artifact, network):
    settings = [(1, 2, 1), (2, 2, 4), (3, 1, 2)]
    there = [
        configuration(source=str(mini_artifact), label=network.label, streams=streams, threads=threads, batch=batch)
        for streams, threads, batch in settings
    ]
    with opened_networks(there, [], lambda _: None) as networks:
        plan = plan_again(there, networks, Effort(runs=2, openings=2))
        found = configurations_here(plan)
    assert [(item.streams, item.threads, item.batch) for item in found] == settings


def test_interrupted_in_the_search(network, small_reference):
    fake = Fake({("step", 2): [KeyboardInterrupt()]})
    subject = Subject(network, fake.kind())
    found = measure_throughput(Effort(runs=2, threads=2), [subject], (1, 2), Limits(0.05), Extras())
    assert found.interrupted
    assert found.measurements == ()
    assert found.throughput[0].best is None
    assert any("interrupted before the best was measured" in note for note in found.notes())


def test_nothing_fits(network, small_reference):
    fake = Fake({"load": [MemoryError()] * 9})
    with pytest.raises(BadInput, match=r"^a setting must fit into memory, found none of mini"):
        measure_throughput(Effort(runs=2, threads=2), [Subject(network, fake.kind())], (1,), Limits(0.05), Extras())


def test_no_setting_keeps_the_limit(mini_artifact, small_reference):
    found = resnas.bench(mini_artifact, streams="auto", latency_limit=1e-6, **QUICK)
    assert found.best == ()
    assert found.measurements
    assert any("no setting that was measured kept the latency limit" in note for note in found.notes())
    assert list(found.throughput_table().rows[0][3:]) == ["-"] * 9


def test_a_batch_of_one_size(untrained_artifact, small_reference):
    found = resnas.bench(untrained_artifact(batch="3"), streams="auto", minutes=0.05, runs=2)
    assert {item.configuration.batch for item in found.measurements} == {3}
    assert found.best[0].smallest_batch == 3


def timed(seconds, streams=1, batch=1, batches=None):
    images = batch * (4 * streams if streams > 1 else 1)
    item = measurement([[images * each for each in opening] for opening in seconds], streams=streams, batch=batch)
    changed = replace(item.configuration, images=images)
    return replace(item, configuration=changed, batches_s=batches)


def test_of_those_that_are_as_fast_the_one_of_least_latency():
    """Seconds an image: what is half a per cent slower at a quarter of the latency is taken, what is 3% slower not."""
    fast = timed([[1.0, 1.01, 0.99]] * 3, batch=8)
    equal = timed([[1.004, 1.005, 1.006], [0.997, 0.998, 1.0], [1.003, 1.005, 1.008]], batch=2)
    slower = timed([[1.03, 1.03, 1.03], [1.0, 1.02, 1.03], [1.03, 1.03, 1.04]], batch=1)
    measured = {ThroughputSetting(1, 2, 8): fast, ThroughputSetting(1, 2, 2): equal, ThroughputSetting(1, 2, 1): slower}
    assert best_of(measured) == ThroughputSetting(1, 2, 2)
    del measured[ThroughputSetting(1, 2, 2)]
    assert best_of(measured) == ThroughputSetting(1, 2, 8)


def test_throughput_over_counts_images():
    one = timed([[1.0, 1.0], [1.0, 1.0]], batch=1)
    two = timed([[0.5, 0.5], [0.5, 0.5]], streams=2, batch=4, batches=((1.0,), (2.0,)))
    assert throughput_over(two, one).value == pytest.approx(2.0)
    assert two.batch_percentile(50) == pytest.approx(1500.0)
    assert two.median_throughput.value == pytest.approx(2.0)


def test_what_the_end_takes_follows_from_the_time(monkeypatch, network, small_reference):
    """As many rounds as the time allows, but one an opening and `runs` at most."""
    plans = []
    measure = measuring.measure
    monkeypatch.setattr(measuring, "measure", lambda plan, *rest: plans.append(plan) or measure(plan, *rest))
    subject = [Subject(network, Fake().kind())]
    for minutes, runs in ((1e-9, 50), (0.5, 7)):
        measure_throughput(Effort(runs=runs, threads=1), subject, (1,), Limits(minutes), Extras())
    assert [plan.runs for plan in plans] == [3, 7]
    assert [plan.openings for plan in plans] == [3, 3]
