from __future__ import annotations

from resnas_deploy.progress import headed


def test_a_heading():
    told = []
    headed("opening 1 of 2, ", told.append)("round 3")
    assert told == ["opening 1 of 2, round 3"]
