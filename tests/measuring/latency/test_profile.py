"""Which networks are measured, and that each is measured once; the measuring itself is made up."""

from __future__ import annotations

import pytest
from support.mini_space import EIGHT, MINI, SETTING, drawn, measured, truth
from support.strategies import refusal

from resnas_deploy.arch.space import SPACES
from resnas_deploy.measuring.latency import profile as module
from resnas_deploy.measuring.latency.campaign import GROUP, anchor_of
from resnas_deploy.measuring.latency.model import LEAST
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, measure, profiled_model, subnets
from resnas_deploy.measuring.latency.store import Store

SPACE_LIST = [*SPACES.values(), MINI]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "latency.sqlite") as opened:
        yield opened


@pytest.fixture
def measuring(monkeypatch):
    """A function: measure so many networks, with Ctrl-C in a group; returns the groups that were measured."""

    def run(store, wanted, purpose=PROFILE, opening=0, interrupt=None):
        seen = []

        def fake(bench, archs, anchor, rng, tell):
            assert anchor == anchor_of(MINI)
            if len(seen) == interrupt:
                raise KeyboardInterrupt
            seen.append(list(archs))
            tell("measured")
            return measured(archs, truth())

        monkeypatch.setattr(module, "measure_group", fake)
        told = []
        try:
            found = measure(store, SETTING, MINI, None, purpose, wanted, opening, told.append)
        except KeyboardInterrupt:
            assert interrupt is not None
        else:
            assert {item.arch for item in found} == set(wanted)
            assert len(found) == len(wanted)
        assert all("networks: measured" in text for text in told)
        return seen

    return run


@pytest.mark.parametrize("space", SPACE_LIST, ids=lambda space: space.name)
@pytest.mark.parametrize("purpose", [PROFILE, CHECK])
def test_the_networks_are_distinct_the_same_every_time_and_of_the_space(space, purpose):
    found = subnets(space, purpose, 150)
    assert found == subnets(space, purpose, 150)
    assert len(set(found)) == 150
    assert all(space.holds(arch) for arch in found)
    for fewer in (1, 2, 3, 149):
        assert subnets(space, purpose, fewer) == found[:fewer]


def test_a_profile_has_the_edges_of_the_space():
    assert subnets(MINI, PROFILE, 2) == [MINI.widest().arch, MINI.narrowest().arch]


def test_a_space_that_is_too_small_is_said():
    assert len(subnets(EIGHT, PROFILE, 8)) == 8
    assert len(subnets(EIGHT, CHECK, 8)) == 8
    message = refusal(lambda: subnets(EIGHT, PROFILE, 9))
    assert message == "the space eight must have 9 networks or more, found 8; ask for fewer"


def test_the_last_draw_counts(monkeypatch):
    """As many draws as there are wanted networks are enough where every one is new."""
    monkeypatch.setattr(module, "_TRIES", 1)
    assert len(subnets(MINI, CHECK, 5)) == 5


@pytest.mark.parametrize("count", [1, 4, 7])
def test_no_network_of_the_profile_is_used_to_check(count):
    profiled = subnets(EIGHT, PROFILE, count)
    found = subnets(EIGHT, CHECK, 8 - count, without=profiled)
    assert not set(found) & set(profiled)
    assert len(set(found)) == 8 - count
    message = refusal(lambda: subnets(EIGHT, CHECK, 9 - count, without=profiled))
    assert message.endswith(f"or more beside {count} others, found {8 - count}; ask for fewer")


def test_a_profile_that_takes_a_network_of_the_check_changes_only_that_one():
    before = subnets(MINI, CHECK, 20)
    after = subnets(MINI, CHECK, 20, without=[before[7]])
    assert after[:19] == [arch for arch in before if arch != before[7]]
    assert after[19] not in before


def test_each_group_is_kept_and_what_is_there_is_not_measured_again(store, measuring):
    wanted = subnets(MINI, PROFILE, 2 * GROUP + 3)
    assert measuring(store, wanted) == [wanted[:GROUP], wanted[GROUP : 2 * GROUP], wanted[2 * GROUP :]]
    assert measuring(store, wanted) == []
    assert [item.arch for item in store.networks(SETTING, "mini", PROFILE)] == wanted


@pytest.mark.parametrize("interrupt", [0, 1, 2])
def test_ctrl_c_keeps_the_groups_before_it(store, measuring, interrupt):
    wanted = subnets(MINI, PROFILE, 2 * GROUP + 3)
    measuring(store, wanted, interrupt=interrupt)
    assert [item.arch for item in store.networks(SETTING, "mini", PROFILE)] == wanted[: interrupt * GROUP]
    assert [arch for group in measuring(store, wanted) for arch in group] == wanted[interrupt * GROUP :]


def test_a_larger_count_measures_the_rest_and_a_smaller_one_nothing(store, measuring):
    measuring(store, subnets(MINI, PROFILE, 10))
    more = subnets(MINI, PROFILE, 25)
    assert [arch for group in measuring(store, more) for arch in group] == more[10:]
    assert measuring(store, subnets(MINI, PROFILE, 12)) == []


def test_purposes_and_openings_are_measured_for_themselves(store, measuring):
    wanted = subnets(MINI, CHECK, 5)
    for purpose, opening in ((PROFILE, 0), (CHECK, 0), (CHECK, 1)):
        assert measuring(store, wanted, purpose, opening) == [wanted]


def test_a_model_of_what_was_profiled(store):
    store.add(SETTING, "mini", PROFILE, 0, measured(drawn(MINI, 80), truth()))
    store.add(SETTING, "mini", CHECK, 0, measured(drawn(MINI, 20, seed=1), 9 * truth()))  # which is never fitted
    model = profiled_model(store, SETTING, MINI, "")
    assert model.networks == 80
    assert model.anchor_ms == pytest.approx(2.0)
    assert model.mape < 1e-6


def test_no_profile_is_said_with_what_there_is(store):
    message = refusal(lambda: profiled_model(store, SETTING, MINI, " --runner ort-cpu --store 'a b'"))
    assert "found none; run: resnas latency profile --space mini --runner ort-cpu --store 'a b'" in message
    store.add(SETTING, "tiny", PROFILE, 0, measured(drawn(MINI, 3), truth()))
    message = refusal(lambda: profiled_model(store, SETTING, MINI, ""))
    assert "found tiny on ort-cpu (onnxruntime 1), fp32, batch 1, 2 threads; run: " in message


def test_a_profile_of_too_few_networks_is_said(store):
    store.add(SETTING, "mini", PROFILE, 0, measured(drawn(MINI, 8), truth()))
    message = refusal(lambda: profiled_model(store, SETTING, MINI, ""))
    assert f"at least {LEAST} measured networks, found 8" in message
