"""Which networks are measured, and that each is measured once; the measuring itself is made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal
from support.mini_space import EIGHT, MINI, SETTING, drawn, measured, truth

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency import profile as module
from resnas_deploy.measuring.latency.anchored import GROUP, anchor_of
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, Profiler, profile, subnets
from resnas_deploy.measuring.latency.regression import least_networks
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.space_files import packaged_spaces

SPACE_LIST = [*packaged_spaces().values(), MINI]
SETUP = Setup(RUNNERS["ort-cpu"], "fp32", 1)


@pytest.fixture
def store(tmp_path):
    with LatencyStore(tmp_path / "latency.sqlite") as opened:
        yield opened


def profiler(store):
    return Profiler(store, MINI, SETUP, SETTING)


@pytest.fixture
def measuring(monkeypatch):
    """A function: measure so many networks, with Ctrl-C in a group; returns the groups that were measured."""

    def run(store, wanted, purpose=PROFILE, repeat=0, interrupt=None, complete=True):
        seen = []

        def fake(setup, archs, anchor, rng, progress):
            assert anchor == anchor_of(MINI)
            if len(seen) == interrupt:
                raise KeyboardInterrupt
            seen.append(list(archs))
            progress("measured")
            return measured(archs, truth())

        monkeypatch.setattr(module, "measure_group", fake)
        told = []
        try:
            assert not any(group.unsaved for group in profiler(store).measure(wanted, purpose, repeat, told.append))
        except KeyboardInterrupt:
            assert interrupt is not None
        else:
            found = [item.arch for item in profiler(store).kept(purpose, repeat)]
            assert len(found) == len(set(found))
            assert not complete or set(wanted) <= set(found)
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
    assert [item.arch for item in store.networks(SETTING, MINI, PROFILE)] == wanted


@pytest.mark.parametrize("interrupt", [0, 1, 2])
def test_ctrl_c_keeps_the_groups_before_it(store, measuring, interrupt):
    wanted = subnets(MINI, PROFILE, 2 * GROUP + 3)
    measuring(store, wanted, interrupt=interrupt)
    assert [item.arch for item in store.networks(SETTING, MINI, PROFILE)] == wanted[: interrupt * GROUP]
    assert [arch for group in measuring(store, wanted) for arch in group] == wanted[interrupt * GROUP :]


def test_a_larger_count_measures_the_rest_and_a_smaller_one_nothing(store, measuring):
    measuring(store, subnets(MINI, PROFILE, 10))
    more = subnets(MINI, PROFILE, 25)
    assert [arch for group in measuring(store, more) for arch in group] == more[10:]
    assert measuring(store, subnets(MINI, PROFILE, 12)) == []


def test_purposes_and_repeats_are_measured_for_themselves(store, measuring):
    wanted = subnets(MINI, CHECK, 5)
    for purpose, repeat in ((PROFILE, 0), (CHECK, 0), (CHECK, 1)):
        assert measuring(store, wanted, purpose, repeat) == [wanted]


def test_a_model_of_what_was_profiled(store):
    store.add(SETTING, MINI, PROFILE, 0, measured(drawn(MINI, 80), truth()))
    store.add(SETTING, MINI, CHECK, 0, measured(drawn(MINI, 20, seed=1), 9 * truth()))  # which is never fitted
    model = profiler(store).model()
    assert (model.space, model.setting, model.regression.networks) == (MINI, SETTING, 80)
    assert model.regression.anchor_ms == pytest.approx(2.0)
    assert model.regression.mape < 1e-6
    archs = drawn(MINI, 5, seed=2)
    assert model.predict(archs).ms == pytest.approx([2 * item.ratio for item in measured(archs, truth())], rel=1e-4)
    message = refusal(lambda: model.predict([*archs, EIGHT.widest().arch]))
    assert "must be a network of the space mini, found another" in message


def test_no_profile_is_said_with_what_there_is(store):
    message = refusal(lambda: profiler(store).model())
    call = f"`latency.profile(space='mini.toml', runner='ort-cpu', precision='fp32', batch=1, store='{store.path}')`"
    assert message.endswith(f"found none; run: {call}")
    store.add(SETTING, EIGHT, PROFILE, 0, measured(drawn(MINI, 3), truth()))
    message = refusal(lambda: profiler(store).model())
    assert "found eight on ort-cpu (onnxruntime 1), fp32, batch 1, 2 threads; run: " in message


def test_a_profile_of_this_machine_before_its_instruction_set_was_told_is_told_and_not_taken(store):
    here = this_machine(usable_cores())
    earlier, setting = replace(SETTING, machine=here.earlier_slug), replace(SETTING, machine=here.slug)
    store.add(earlier, MINI, PROFILE, 0, measured(drawn(MINI, 60), truth()))
    message = refusal(lambda: replace(profiler(store), setting=setting).model())
    assert f"found one of {here.earlier_slug}, as this machine and those with another instruction set were" in message


def test_a_profile_of_another_version_of_the_runtime_is_told_and_not_taken(store):
    store.add(replace(SETTING, version="onnxruntime 0.9"), MINI, PROFILE, 0, measured(drawn(MINI, 60), truth()))
    message = refusal(lambda: profiler(store).model())
    assert (
        "found one of onnxruntime 0.9, not of onnxruntime 1, which is installed here: what it changes is not" in message
    )
    assert "(a search takes it by `latency_of` all the same); run: `latency.profile(" in message


def test_a_space_of_the_same_name_is_told_apart(store):
    store.add(SETTING, MINI.with_image_size(168), PROFILE, 0, measured(drawn(MINI, 60), truth()))
    message = refusal(lambda: profiler(store).model())
    assert "found another mini (at 168 pixels) on ort-cpu (onnxruntime 1), fp32, batch 1, 2 threads; run" in message


def test_what_an_earlier_version_chose_counts(store, measuring):
    """Its networks were others; a profile has so many, and needs no more."""
    store.add(SETTING, MINI, PROFILE, 0, measured(drawn(MINI, 30, seed=8), truth()))
    wanted = subnets(MINI, PROFILE, 34)
    seen = [arch for group in measuring(store, wanted, complete=False) for arch in group]
    assert len(seen) == 4
    assert set(seen) < set(wanted)
    assert measuring(store, wanted, complete=False) == []


def test_a_profile_of_too_few_networks_is_said(store):
    store.add(SETTING, MINI, PROFILE, 0, measured(drawn(MINI, 8), truth()))
    message = refusal(lambda: profiler(store).model())
    assert f"at least {least_networks(Terms(3))} measured networks, found 8" in message


def test_a_profiling_ends_at_the_first_group_that_cannot_be_kept(tmp_path, monkeypatch):
    seen = []

    def fake(setup, archs, anchor, rng, progress):
        seen.append(archs)
        return measured(archs, truth())

    def full(*_):
        raise BadInput("the disk is full")

    monkeypatch.setattr(module, "measure_group", fake)
    monkeypatch.setattr(LatencyStore, "add", full)
    assert "the disk is full" in refusal(lambda: profile(MINI, SETUP, tmp_path / "s.sqlite", least_networks(Terms(3))))
    assert len(seen) == 1


def test_a_runner_of_engines_is_refused_before_anything_is_built(tmp_path):
    setup = Setup(RUNNERS["tensorrt"], "fp8", 1)
    message = refusal(lambda: profile(MINI, setup, tmp_path / "s.sqlite"))
    assert "a profile must be on a runner that opens graphs, found tensorrt" in message
    assert not (tmp_path / "s.sqlite").exists()
