from __future__ import annotations

import json

import pytest

from resnas_deploy.arch import cost
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec


def test_the_table(resnas):
    lines = resnas("archs").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["tiny", "small", "medium"]
    assert [line.split()[-2] for line in lines[2:]] == ["80.8", "81.7", "82.4"]
    assert "220 440 880" in lines[3]
    assert "2.846" in lines[3]
    assert "63,724,108" in lines[3]


def test_json(resnas):
    found = {entry["name"]: entry for entry in resnas("archs", "--json").json}
    assert set(found) == set(PUBLISHED)
    for name, entry in found.items():
        arch = ArchSpec.from_json(entry["arch"])
        assert arch == PUBLISHED[name].arch
        assert entry["fingerprint"] == arch.fingerprint
        assert entry["macs"] == cost.macs(arch)
        assert entry["parameters"] == cost.parameters(arch)


def test_one_is_printed_as_the_file_that_other_commands_read(resnas, tmp_path):
    printed = resnas("archs", "tiny").out
    assert resnas("archs", "tiny", "--json").out == printed
    (tmp_path / "mine.json").write_text(printed)
    assert resnas("inspect", "mine.json", "--json").json["arch"] == json.loads(printed)
    assert resnas("archs", "mine.json").out == printed


@pytest.mark.parametrize("name", ["nope", "SMALL", "..", "x" * 5000])
def test_an_unknown_name_is_told_the_known_ones(refused, name):
    line = refused("archs", name)
    assert "tiny, small, medium" in line
    assert len(line) < 300
