"""What `make demo-search` calls goes together: its space, its profile and its search."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from demo_search_time import commands

from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.regression import least_networks
from resnas_deploy.weights.space_files import space_named

ROOT = Path(__file__).parents[1]


def _value(arguments, option):
    return arguments[arguments.index(option) + 1]


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_demo_search_profiles_the_space_that_it_trains_by_enough_networks():
    train, profile, search = commands(ROOT)[:3]
    assert (train[0], profile[:2], search[0]) == ("train", ["latency", "profile"], "search")
    assert _value(train, "--space") == _value(profile, "--space")
    for option in ("--runner", "--batch", "--threads", "--store"):
        assert _value(profile, option) == _value(search, option)
    space = space_named(ROOT / _value(train, "--space"))
    assert int(_value(profile, "--networks")) >= least_networks(Terms.of_space(space))
