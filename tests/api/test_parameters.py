"""Arguments of wrong types, and of types that are as good as those that the functions say."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from support.api_functions import functions
from support.places import EXAMPLE
from support.small_export import SMALL

import resnas_deploy as resnas
from resnas_deploy.api.parameters import checked

FUNCTIONS = dict(functions())
UNLIKE_ANYTHING = [b"bytes", 1 + 2j, np.array([[1.5]]), "a\0b", "\ud800", float("nan"), object()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return resnas.export(SMALL, tmp_path_factory.mktemp("api") / "made", batch="1:8", threads=1)


def named(function) -> dict[str, object]:
    """An argument for each parameter that must have one: the first wrong one is told before anything is done."""
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name: "x" for parameter in parameters if parameter.default is inspect.Parameter.empty}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_value_of_a_wrong_type_is_told_with_its_parameters_name(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in inspect.signature(function).parameters:
        for value in UNLIKE_ANYTHING:
            with pytest.raises(resnas.BadInput, match=f"^`{name}` must be .*, found ") as told:
                function(**named(function) | {name: value})
            assert "--" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_all_functions_are_there():
    assert len(FUNCTIONS) == 48


@pytest.mark.parametrize("value", [1, np.int64(1), 1.0, np.float32(1)], ids=repr)
def test_a_number_is_what_the_function_says_it_takes(value):
    """Documents hold 1 and 1.0 otherwise: a manifest with the first for the second could not be opened."""

    @checked
    def takes(share: float, count: int | str) -> tuple[object, object]:
        return share, count

    found = takes(value, 1)
    assert found == (1.0, 1)
    assert tuple(map(type, found)) == (float, int)
    with pytest.raises(resnas.BadInput, match="`share` must be a number"):
        takes(10**400, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resnas.bench("x", runners="ort-cpu"), "`runners` .* write it as a list: \\['ort-cpu'\\]"),
        (lambda: resnas.bench("x", batches=8), "`batches` must be several, each a whole number, found 8; .*\\[8\\]"),
        (lambda: resnas.bench("x", batches=["8"]), "`batches` must be several, each a whole number"),
        (lambda: resnas.train.supernet("x", "demo", settings="epochs=1"), "`settings` .* write it as a list"),
        (lambda: resnas.export("small", progress=None), "`progress` must be a function of one text, found None; leave"),
        (lambda: resnas.export("small", force="no"), "`force` must be True or False, found 'no'"),
        (lambda: resnas.predict("x", None), "`images` must be text or a path or several"),
        (lambda: resnas.predict("x", "y", top=True), "`top` must be a whole number, found True"),
        (lambda: resnas.predict("x", "y", top=2.5), "`top` must be a whole number, found 2.5"),
        (lambda: resnas.export("small", precision="int3"), "^`precision` must be one of fp32, .*found 'int3'"),
        (lambda: resnas.export("small", spelling="best"), "^`spelling` must be one of .*found 'best'"),
        (lambda: resnas.export("small", verify_on="tpu"), "^`verify_on` must be one of .*found 'tpu'"),
        (lambda: resnas.kernels("small", target="tvm"), "^`target` must be one of .*found 'tvm'"),
        (lambda: resnas.kernels("small", capability="new"), "^`capability` must be portable or .*found 'new'"),
        (lambda: resnas.latency.check(runner="tpu"), "^`runner` must be one of .*found 'tpu'"),
        (lambda: resnas.latency.check(networks=3), "unexpected keyword argument 'networks'"),
    ],
)
def test_the_message_says_what_to_do(call, message):
    with pytest.raises((resnas.BadInput, TypeError), match=message):
        call()


def test_numpys_numbers_and_generators_are_as_good(made):
    found = resnas.predict(
        made, (Path(path) for path in [EXAMPLE / "pictures" / "bag.png"]), top=np.int64(2), threads=1
    )
    assert len(found.images[0].top) == 2
    report = resnas.bench(
        [made], runners=("ort-cpu" for _ in "1"), batches=np.array([1, 2]), runs=np.int32(2), openings=1, threads=1
    )
    assert [type(measured.configuration.batch) for measured in report.measurements] == [int, int]


def test_help_shows_the_function_as_it_is_written():
    assert list(inspect.signature(resnas.export).parameters)[:3] == ["arch", "out", "checkpoint"]
    assert "Raise `BadInput`" in inspect.getdoc(resnas.export)
    assert list(inspect.signature(resnas.Artifact.predict).parameters)[:2] == ["artifact", "images"]


def test_a_wrong_number_spoils_no_later_call(made):
    for threads in (-1, 10**30):
        with pytest.raises(resnas.BadInput, match=r"^`threads` must be from 0 to 1024, found "):
            made.verify(threads=threads)
    made.verify(threads=1)
