"""A supernet that has begun to learn, and its data."""

from __future__ import annotations

import pytest
from support.small_evolution import write_learning


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    """What `space.evolve` takes but for `out`."""
    return write_learning(tmp_path_factory.mktemp("learning"))
