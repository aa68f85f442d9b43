"""The search on a machine that is made up: its clock moves by what each setting takes, so the best is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from resnas_deploy.measuring.cases import OUT_OF_MEMORY
from resnas_deploy.measuring.plan import ThroughputSetting
from resnas_deploy.measuring.throughput import search as searching
from resnas_deploy.measuring.throughput.limits import Choices, Limits
from resnas_deploy.measuring.throughput.search import Search
from resnas_deploy.measuring.throughput.sessions import Step, batches_of, images_of

BATCH = (1, 2, 4, 8, 16, 32, 64)


@dataclass
class MadeUp:
    """Sessions of a machine on which `rate` says the images a second of every setting."""

    rate: object
    slowdown: object = lambda now: 1.0  # by the clock
    now: float = 0.0
    too_large: frozenset[ThroughputSetting] = frozenset()
    interrupted_at: float = math.inf
    timed: list[ThroughputSetting] = field(default_factory=list)
    opened: set[tuple[int, int]] = field(default_factory=set)
    most_open: int = 0
    loading: float = 0.1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.opened.clear()

    def is_open(self, split):
        return split in self.opened

    def keep(self, *splits):
        self.opened &= set(splits)

    def step(self, setting, rate):
        if setting in self.too_large:
            raise MemoryError
        self.opened.add((setting.streams, setting.threads))
        self.most_open = max(self.most_open, len(self.opened))
        images = images_of(setting, rate)
        streams = Took() if setting.streams > 1 else None

        def once():
            second = self.slowdown(self.now) / self.rate(setting)
            took, batch = images * second, setting.streams * setting.batch * second
            self.now += took
            if self.now > self.interrupted_at:
                self.interrupted_at = math.inf
                raise KeyboardInterrupt
            self.timed.append(setting)
            if streams:
                streams.took.append([batch] * setting.streams * batches_of(setting, rate))
            return took

        return Step(images, once(), once, streams)


class Took:
    def __init__(self):
        self.took = []


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr("resnas_deploy.measuring.timing.REST", 0.0)


@pytest.fixture
def searched(monkeypatch):
    """A function that searches on a made-up machine; it returns the search and the machine."""

    def run(rate, *, cores=4, batches=BATCH, seconds=1e6, limits=None, **made_up):
        machine = MadeUp(rate, **made_up)
        monkeypatch.setattr(searching, "Sessions", lambda *_: machine)
        search = Search(
            None, 0, Choices(cores, batches), limits or Limits(1e4), until=seconds, clock=lambda: machine.now
        )
        search.run()
        return search, machine

    return run


def saturating(best_streams, best_batch, *, threads=None):
    """Throughput that grows to a number of streams and to a batch, and then falls slowly."""

    def rate(setting):
        grown = min(setting.streams, best_streams) / (1 + 0.03 * max(0, setting.streams - best_streams))
        batch = min(setting.batch, best_batch) ** 0.5 / (1 + 0.01 * max(0, setting.batch - best_batch))
        wanted = 1.0 if threads is None or setting.threads == threads else 0.8
        return 100 * grown**0.5 * batch * wanted

    return rate


@pytest.mark.parametrize("streams", [1, 2, 4, 8])
@pytest.mark.parametrize("batch", [1, 4, 16, 64])
def test_the_best_is_found_wherever_it_is(searched, streams, batch):
    search, machine = searched(saturating(streams, batch))
    assert search.best is not None
    assert (search.best.streams, search.best.batch) == (streams, batch)
    assert len(search.tried) <= 25
    assert machine.most_open <= 2  # the best's sessions, and those of what is timed beside it
    assert not search.left_out


def test_threads_are_varied(searched):
    search, _ = searched(saturating(2, 8, threads=4))
    assert search.best == ThroughputSetting(2, 4, 8)


def test_what_is_as_fast_with_less_latency_is_taken(searched):
    search, _ = searched(lambda setting: 100.0 if setting.batch >= 4 else 60.0)
    assert search.best == ThroughputSetting(1, 4, 4)


def test_a_latency_limit_bounds_the_batch(searched):
    rate = saturating(4, 64)
    free, _ = searched(rate)
    limit = 1e3 * 4 * 8 / rate(ThroughputSetting(4, 1, 8))
    search, _ = searched(rate, limits=Limits(1e4, limit + 0.01))
    assert free.best.batch == 64
    assert search.tried[search.best].batch_p50_ms <= limit + 0.01
    assert search.tried[search.best].images_per_second >= rate(ThroughputSetting(4, 1, 8)) * 0.99


def test_nothing_keeps_the_limit(searched):
    search, _ = searched(saturating(1, 1), limits=Limits(1e4, 0.001))
    assert search.best is not None  # the nearest, so that something is measured
    assert search.best.batch == 1


def test_what_does_not_fit_ends_the_way_up(searched):
    too_large = frozenset(ThroughputSetting(1, 4, batch) for batch in (32, 64))
    search, _ = searched(saturating(1, 64), too_large=too_large)
    assert search.best == ThroughputSetting(1, 4, 16)
    assert search.tried[ThroughputSetting(1, 4, 32)].failure == OUT_OF_MEMORY
    assert ThroughputSetting(1, 4, 64) not in search.tried


def test_nothing_fits(searched):
    search, _ = searched(saturating(1, 1), batches=(8,), too_large=frozenset([ThroughputSetting(1, 4, 8)]))
    assert search.best is None
    assert search.finalists() == []
    assert search.single() is None


def test_settings_are_bounded(searched):
    search, _ = searched(saturating(8, 64), limits=Limits(1e4, settings=6))
    assert len(search.tried) == 6
    assert search.left_out


def test_time_is_bounded(searched):
    whole, machine = searched(saturating(4, 16))
    half, other = searched(saturating(4, 16), seconds=machine.now / 2)
    assert len(half.tried) < len(whole.tried)
    assert half.left_out
    assert other.now <= machine.now / 2


def test_what_is_far_slower_is_timed_once_more_and_no_more(searched):
    slow = ThroughputSetting(1, 2, 8)
    search, machine = searched(lambda setting: 10.0 if setting == slow else 100.0, cores=4, batches=(8,))
    assert search.tried[slow].images_per_second == pytest.approx(10.0)
    assert machine.timed.count(slow) == 2  # the first run, and one round


def test_interrupted(searched):
    whole, machine = searched(saturating(4, 16))
    search, _ = searched(saturating(4, 16), interrupted_at=machine.now / 2)
    assert search.interrupted
    assert 0 < len(search.tried) < len(whole.tried)


def test_a_fixed_batch_on_one_core(searched):
    search, _ = searched(saturating(1, 3), cores=1, batches=(3,))
    assert search.best == ThroughputSetting(1, 1, 3)
    assert {each.batch for each in search.tried} == {3}


def test_a_machine_that_slows_down_slows_all_alike(searched):
    """The same best as on a steady one, though all is half as fast by then: what is compared was timed in turns."""
    steady, machine = searched(saturating(4, 16))
    search, _ = searched(saturating(4, 16), slowdown=lambda now: 1 + min(1.0, now / machine.now))
    assert search.best == steady.best
    top, first = (search.tried[each].images_per_second for each in (search.best, ThroughputSetting(1, 4, 8)))
    truth = saturating(4, 16)
    assert top / first == pytest.approx(truth(search.best) / truth(ThroughputSetting(1, 4, 8)), rel=0.1)


def test_finalists_are_near_the_best_and_few(searched):
    search, _ = searched(saturating(4, 16))
    top = max(each.images_per_second for each in search.tried.values())
    finalists = search.finalists()
    assert finalists[0] == search.best
    assert len(finalists) <= searching.FINALISTS
    assert all(search.tried[each].images_per_second >= (1 - searching.NEAR) * top for each in finalists)
    assert (search.single().streams, search.single().threads) == (1, 4)
