"""A setup, and the setting that what is measured with it is kept under."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.checks import refusal

from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.measuring.latency.setup import Setup, choose_setup
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS


def test_a_setting_holds_all_that_a_setup_is():
    setup = Setup(RUNNERS["ort-cpu"], "fp32", 4, 2)
    setting = setup.setting("a-machine")
    assert (setting.machine, setting.runner, setting.device) == ("a-machine", "ort-cpu", "cpu")
    assert (setting.precision, setting.batch, setting.threads) == ("fp32", 4, 2)
    assert setting.version.startswith("onnxruntime ")
    others = [replace(setup, batch=5), replace(setup, threads=3), replace(setup, precision="fp16")]
    others.append(replace(setup, kind=RUNNERS["torch"]))
    assert len({setting, *(other.setting("a-machine") for other in others)}) == 5


def test_no_threads_are_every_core():
    assert Setup(RUNNERS["ort-cpu"], "fp32", 1).setting().threads == usable_cores()
    assert Setup(RUNNERS["ort-cpu"], "fp32", 1, 1).setting().threads == 1


def test_the_arguments_choose_the_same_setup_again():
    for setup in (Setup(RUNNERS["ort-cpu"], "fp16", 8), Setup(RUNNERS["torch"], "fp32", 1, 3, "cpu")):
        given = {"threads": 0, "device": ""} | setup.arguments()
        assert choose_setup(**given) == setup


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"runner": "abacus"}, "abacus"),
        ({"precision": "int4"}, "`precision` must be one of fp32, fp16, bf16, int8, fp8, found 'int4'"),
        ({"device": "tpu"}, "tpu"),
        ({"batch": 0}, f"`batch` must be from 1 to {MAX_BATCH}, found 0"),
        ({"batch": MAX_BATCH + 1}, "`batch` must be from 1 to"),
        ({"threads": -1}, "`threads` must be 0 (every core) or more, found -1"),
    ],
)
def test_what_cannot_be_set_up_is_refused(changes, said):
    usual = {"runner": "ort-cpu", "precision": "fp32", "batch": 1, "threads": 0, "device": ""}
    assert said in refusal(lambda: choose_setup(**usual | changes))
