"""Variables of the environment with values that nobody meant: the right answer, or one line that names the variable."""

from __future__ import annotations

import pytest

from resnas_deploy.cli.environment import prepare
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.measuring.machine.nvml import open_gpu
from resnas_deploy.measuring.machine.products import numpy_products
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.training.distributed import Share, share_of

THREE, SQUARED = "\N{ARABIC-INDIC DIGIT THREE}", "\N{SUPERSCRIPT TWO}"
NO_NUMBERS = ("abc", "-1", "1.5", "1e3", "nan", "0x10", THREE, SQUARED, "9" * 5000, "1 2")
TORCHRUN = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.parametrize("name", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
@pytest.mark.parametrize("value", ["", "0", "99999999", *NO_NUMBERS])
def test_a_size_that_is_none_is_forgotten(resnas, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert "medium" in resnas("archs").out
    monkeypatch.setenv(name, value)
    assert "Usage" in resnas("archs", "--help").out


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
@pytest.mark.parametrize("value", ["0", "1025", "99999999", ",", "2,,2", *NO_NUMBERS])
def test_threads_that_cannot_be_started(refused, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    line = refused("archs")
    assert f"{name} must be a whole number from 1 to 1024" in line
    assert len(line) < 250


@pytest.mark.parametrize("value", ["abc", "-1", "1-", THREE, "9" * 5000])
def test_cores_that_openmp_would_look_for_without_an_end(refused, monkeypatch, value):
    monkeypatch.setenv("GOMP_CPU_AFFINITY", value)
    assert "GOMP_CPU_AFFINITY must be a list of cores" in refused("archs")


@pytest.mark.parametrize("value", ["0", "0-3", "0-10:2", "0 2,4", "0-1 3"])
def test_cores_that_are_some(value):
    environment = {"GOMP_CPU_AFFINITY": value}
    prepare(environment)
    assert environment["GOMP_CPU_AFFINITY"] == value


def test_what_is_right_stays_and_what_is_empty_goes():
    environment = {"OMP_NUM_THREADS": "4,2", "MKL_NUM_THREADS": " ", "OMP_PLACES": "", "COLUMNS": "100", "LINES": "x"}
    prepare(environment)
    assert environment.items() >= {"OMP_NUM_THREADS": "4,2", "COLUMNS": "100"}.items()
    assert not set(environment) & {"OMP_PLACES", "LINES"}
    assert environment.get("MKL_NUM_THREADS", "") != " "


def test_where_torchrun_puts_a_process():
    assert share_of({}) == Share()
    assert share_of(TORCHRUN) == Share(1, 2, 1, local_processes=2)
    assert share_of({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}) == Share()
    assert share_of(dict.fromkeys(TORCHRUN, "")) == Share()


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"])
@pytest.mark.parametrize("value", ["99999999", *NO_NUMBERS])
def test_numbers_of_a_job_that_are_none(name, value):
    with pytest.raises(BadInput, match=f"{name} must be a whole number from [01] to [0-9]+, found") as raised:
        share_of(TORCHRUN | {name: value})
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"RANK": "2"}, "RANK must be a whole number from 0 to 1"),
        ({"LOCAL_RANK": "2"}, "LOCAL_RANK must be a whole number from 0 to 1"),
        ({"RANK": ""}, "RANK must be set where WORLD_SIZE is 2"),
        ({"MASTER_ADDR": " "}, "MASTER_ADDR must be set where WORLD_SIZE is 2"),
        ({"MASTER_PORT": ""}, "MASTER_PORT must be set where WORLD_SIZE is 2"),
        ({"MASTER_PORT": "65536"}, "MASTER_PORT must be a whole number from 1 to 65535"),
        ({"WORLD_SIZE": ""}, "RANK must come with WORLD_SIZE"),
        ({"WORLD_SIZE": "1"}, "RANK must be a whole number from 0 to 0"),
    ],
)
def test_jobs_that_cannot_be(changes, message):
    with pytest.raises(BadInput, match=message):
        share_of(TORCHRUN | changes)


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK"])
def test_a_job_of_another_kind_of_program(refused, monkeypatch, name):
    monkeypatch.setenv(name, "node-7")
    assert f"{name} must be a whole number" in refused(
        "train", "subnet", "--arch", "tiny", "--data", "demo", "--out", "o"
    )


@pytest.mark.parametrize("value", [THREE, "9" * 5000, SQUARED])
def test_gpus_that_are_none(value):
    pytest.importorskip("pynvml")
    with pytest.raises(NotAvailable):
        open_gpu(0, {"CUDA_VISIBLE_DEVICES": value})


def test_numpys_threads_are_what_its_variables_say(monkeypatch):
    shape = (4, 4, 4)
    for value, threads, fits in (("1", 1, True), ("1", usable_cores() + 1, False), ("abc", usable_cores(), True)):
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", value)
        with numpy_products([shape], "cpu", "fp32", threads) as found:
            assert bool(found) is fits
