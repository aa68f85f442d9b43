"""What is chosen for a level, of measurements that are made up, and what is said of the others."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checks import refusal
from support.deployed import candidate, load, setting

from resnas_deploy.deploying.choosing import choose, machines_text, nearest, offer_of, settings_for, why_not
from resnas_deploy.deploying.result import ServiceLevel

LEVEL = ServiceLevel(20.0)


def wanted(demand):
    return ServiceLevel(20.0, demand)


def test_without_a_demand_the_most_within_the_level():
    fp32, int8 = candidate("fp32", setting(100, 8)), candidate("int8", setting(250, 8))
    choice = choose([fp32, int8], LEVEL)
    assert choice.offer.candidate is int8
    assert why_not(fp32, choice, LEVEL) == "40% of the requests/s of int8"
    assert why_not(int8, choice, LEVEL) == ""


def test_with_a_demand_the_fewest_machines_and_of_several_the_widest():
    fp32, int8 = candidate("fp32", setting(100, 8)), candidate("int8", setting(250, 8))
    many, few = wanted(1000), wanted(90)
    assert choose([int8, fp32], many).offer.candidate is int8
    assert why_not(fp32, choose([fp32, int8], many), many) == "10 machines where 4 do"
    choice = choose([int8, fp32], few)
    assert choice.offer.candidate is fp32
    assert "as few as int8 would need, at a wider precision" in choice.why
    assert why_not(int8, choice, few) == "as many machines, and fp32 is wider"


def test_the_fastest_that_misses_the_level_is_not_chosen():
    fp32, int8 = candidate("fp32", setting(100, 8)), candidate("int8", setting(900, 25, batch=64))
    choice = choose([fp32, int8], LEVEL)
    assert choice.offer.candidate is fp32
    assert why_not(int8, choice, LEVEL) == "99 of 100 batches take 25.0 ms at the least, where 20 ms are allowed"


def test_a_setting_in_which_a_request_may_wait_goes_before_a_faster_one_in_which_it_may_not():
    roomy, tight, tighter, slow = setting(50, 9.9), setting(90, 10.1), setting(95, 15), setting(99, 20.1)
    slower = setting(40, 2)
    found = settings_for(candidate("fp32", slow, tighter, tight, slower, roomy), LEVEL)
    assert found == (roomy, slower, tight, tighter)


def test_what_a_server_has_shown_goes_before_what_was_measured_without():
    one, other = setting(100, 8), setting(250, 8)
    fp32, int8 = candidate("fp32", one, loads=[load(60, one)]), candidate("int8", other)
    choice = choose([fp32, int8], LEVEL)
    assert (choice.offer.candidate, choice.offer.requests_per_second, choice.offer.served) == (fp32, 60, True)
    assert why_not(int8, choice, LEVEL) == "no server of it was tried: there was no time left"
    assert machines_text(choice.offer, 61) == "2 machines"
    assert machines_text(offer_of(int8, LEVEL), 100) == "at least 1 machine"


def test_a_server_that_keeps_the_level_at_no_rate_is_no_offer_whatever_was_measured_without():
    one = setting(100, 8)
    fp32, int8 = candidate("fp32", one, loads=[load(0, one, p99_ms=33)]), candidate("int8", one, loads=[load(10, one)])
    choice = choose([fp32, int8], LEVEL)
    assert choice.offer.candidate is int8
    assert why_not(fp32, choice, LEVEL) == "its server keeps the level at no rate (p99 33.0 ms at the least)"


def test_of_the_settings_that_a_server_was_tried_with_the_best_counts():
    first, second = setting(100, 8, batch=8), setting(40, 4)
    both = candidate("fp32", first, second, loads=[load(0, first), load(25, second)])
    assert offer_of(both, LEVEL).setting is second


def test_nothing_keeps_the_level_and_the_nearest_is_named():
    fp32, int8 = (
        candidate("fp32", setting(10, 40, instances=2, batch=4), setting(9, 30)),
        candidate("int8", setting(9, 28)),
    )
    assert choose([fp32, int8], LEVEL) is None
    assert nearest([fp32, int8], LEVEL) == (
        "int8 with 1 instance of 1 thread, batches of up to 1, where 99 of 100 batches take 28.0 ms"
    )
    one = setting(100, 18)
    served = candidate("fp32", one, loads=[load(0, one, p99_ms=21)])
    assert nearest([served, int8], LEVEL).endswith("whose server has a p99 of 21.0 ms")
    assert nearest([candidate("int8", left_out="too much is lost")], LEVEL) == ""


def test_one_that_was_left_out_says_why():
    fp32, int8 = candidate("fp32", setting(10, 1)), candidate("int8", left_out="give `data`")
    assert why_not(int8, choose([fp32, int8], LEVEL), LEVEL) == "give `data`"
    assert why_not(candidate("fp16"), choose([fp32], LEVEL), LEVEL) == "nothing of it could be measured"


NUMBERS = st.floats(0.1, 1e5)
SERVED = st.none() | st.just(0.0) | st.floats(0.5, 1e5)  # requests a second of a server; None: none was tried


@given(st.lists(st.tuples(NUMBERS, st.floats(0.1, 100), SERVED), min_size=1, max_size=4), NUMBERS)
def test_whatever_was_measured(measured, demand):
    """The choice keeps the level, none needs fewer machines, and every other candidate has a reason."""
    level = wanted(demand)
    names = ("fp32", "fp16", "bf16", "int8")
    found = []
    for name, (throughput, p99_ms, kept) in zip(names, measured, strict=False):
        one = setting(throughput, p99_ms)
        found.append(candidate(name, one, loads=[] if kept is None else [load(kept, one)]))
    choice = choose(found, level)
    offers = [offer for each in found if (offer := offer_of(each, level))]
    if choice is None:
        assert not offers
        return
    best = choice.offer
    assert best.served or best.setting.batch_p99_ms <= level.p99_ms
    beside = [each for each in offers if each.served == best.served]
    assert best.served or not any(each.served for each in offers)
    assert all(best.machines(demand) <= each.machines(demand) for each in beside)
    assert best.machines(demand) * best.requests_per_second >= demand * (1 - 1e-9)
    assert [each.name for each in found if not why_not(each, choice, level)] == [best.candidate.name]


@pytest.mark.parametrize("level", [(0, None), (-1, None), (math.inf, None), (math.nan, None), (20, 0), (20, math.inf)])
def test_a_level_that_cannot_be(level):
    assert "must be more than 0" in refusal(lambda: ServiceLevel(*level))
