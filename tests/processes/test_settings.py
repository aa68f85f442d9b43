"""A setting of the process is as it was when nobody needs another value any more, whoever is done first."""

from __future__ import annotations

import os
from contextlib import ExitStack

import pytest

from resnas_deploy.processes.settings import ProcessSetting, variable

NAME = "RESNAS_TEST_SETTING"


@pytest.fixture
def place():
    return {"value": "before"}


@pytest.fixture
def setting(place):
    return ProcessSetting(lambda: place["value"], lambda value: place.update(value=value))


def test_blocks_in_each_other(place, setting):
    with setting.at("outer"):
        with setting.at("inner"):
            assert place["value"] == "inner"
        assert place["value"] == "outer"
    assert place["value"] == "before"


def test_the_first_may_be_done_before_the_second(place, setting):
    first, second = ExitStack(), ExitStack()
    first.enter_context(setting.at("first"))
    second.enter_context(setting.at("second"))
    first.close()
    assert place["value"] == "second"
    second.close()
    assert place["value"] == "before"


def test_after_an_error_and_again(place, setting):
    def fail(value):
        with setting.at(value):
            assert place["value"] == value
            raise ZeroDivisionError

    for value in ("one", "another"):
        with pytest.raises(ZeroDivisionError):
            fail(value)
        assert place["value"] == "before"


@pytest.mark.parametrize("before", [None, "", "said"])
def test_a_variable(monkeypatch, before):
    monkeypatch.delenv(NAME, raising=False)
    if before is not None:
        monkeypatch.setenv(NAME, before)
    with variable(NAME).at("0"):
        assert os.environ[NAME] == "0"
    assert os.environ.get(NAME) == before


def test_a_value_that_cannot_be_had_is_forgotten():
    held = [1]

    def write(value):
        held[0] = 10 // value and value

    setting = ProcessSetting(lambda: held[0], write)
    with pytest.raises(ZeroDivisionError), setting.at(0):
        pass
    with setting.at(2):
        assert held == [2]
    assert held == [1]
