"""A bill of materials is of CycloneDX's own schema, names every file by its hash, and is the same each time."""

from __future__ import annotations

import hashlib
import json
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.checks import refusal

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import PackageMissing
from resnas_deploy.publishing.materials import bill_of_materials


@pytest.fixture(scope="module")
def artifact(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.mark.parametrize("licence", ["", "Apache-2.0", "cc-by-nc-4.0"])
def test_it_is_valid_and_the_same_each_time(artifact, licence):
    text = bill_of_materials(artifact, licence)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert bill_of_materials(artifact, licence) == text
    (found,) = [json.loads(text)["metadata"]["component"]]
    assert found["type"] == "machine-learning-model"
    assert [each["license"]["id"].lower() for each in found.get("licenses", [])] == [licence.lower()][: bool(licence)]


def test_each_file_by_the_hash_that_it_has(artifact):
    bill = json.loads(bill_of_materials(artifact))
    found = {part["name"]: part["hashes"][0]["content"] for part in bill["metadata"]["component"]["components"]}
    assert found == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in artifact.folder.iterdir()}


def test_what_it_was_made_with(artifact):
    bill = json.loads(bill_of_materials(artifact))
    assert {part["purl"] for part in bill["components"]} == {
        f"pkg:pypi/{name}@{version}" for name, version in artifact.manifest.tools.items()
    }


def test_a_licence_that_is_none_and_a_missing_package(artifact, tmp_path, monkeypatch):
    assert "SPDX" in refusal(lambda: resnas.card(artifact, out=tmp_path / "a", sbom=tmp_path / "b", license="mine"))
    assert "SPDX" in refusal(lambda: resnas.card(artifact, out=tmp_path / "a", license="a\nb"))
    monkeypatch.setitem(sys.modules, "cyclonedx", None)
    call = lambda: resnas.card(artifact, out=tmp_path / "a", sbom=tmp_path / "b")  # noqa: E731  one line, asked once below
    assert "resnas[sbom]" in refusal(call, PackageMissing)
    assert not list(tmp_path.iterdir())
