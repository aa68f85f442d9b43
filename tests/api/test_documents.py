"""The JSON Schema of each document: in docs/schemas as it should be, valid, and true of files that are there."""

from __future__ import annotations

import json

import pytest
from documents import DOCUMENTS
from json_schema import schema_of
from jsonschema import Draft202012Validator, ValidationError
from schemas import written
from support.checks import check_schema
from support.places import GOLDEN, ROOT

SCHEMAS = ROOT / "docs" / "schemas"


def test_the_files_are_up_to_date():
    """`make docs` writes them."""
    assert {path.name: path.read_text() for path in SCHEMAS.iterdir()} == written()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_each_is_a_schema_that_refuses_what_it_does_not_know(name):
    schema = schema_of(DOCUMENTS[name], name)
    Draft202012Validator.check_schema(schema)
    for document in ({"foreign": 1}, [{"foreign": 1}], 1, None):
        with pytest.raises(ValidationError):
            Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("path", sorted((GOLDEN / "manifests").iterdir()), ids=lambda path: path.stem)
def test_manifests(path):
    check_schema("manifest", json.loads(path.read_text()))


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "results").glob("latency-model-*.json")), ids=str)
def test_latency_checks(path):
    check_schema("latency-check", json.loads(path.read_text()))


def test_results_of_tradeoff():
    check_schema("tradeoff", json.loads((ROOT / "benchmarks" / "results" / "tradeoff.json").read_text()))
