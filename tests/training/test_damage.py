"""Files whose bytes were changed are read, or refused in one line: whatever they hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.small_data import SPACE, write_shards

from resnas_deploy.data.shards import shard_images
from resnas_deploy.errors import BadInput
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.training.saved_state import TrainingState, load_state, save_state

changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8)
often = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def read_shard(path):
    images = shard_images(path.parent)
    for number in range(len(images.labels)):
        images.image(number)


def read_state(path):
    load_state(path, "run", {"a": torch.ones(5)}, 3)


def read_search(path):
    with SearchStore(path, "search") as store:
        store.candidates()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind, by its reader."""
    folder = tmp_path_factory.mktemp("whole")
    shard = write_shards(folder / "shards", shards=1) / "train" / "0000.tar"
    save_state(TrainingState("run", 3, {"a": torch.ones(5)}, {"scale": 2.0}), folder / "state")
    rng = np.random.default_rng(0)
    with SearchStore(folder / "search", "search") as store:
        store.add(Candidate(SPACE.sample(rng), Score(3, 4), (1.0, 2.0), 0) for _ in range(5))
    return {read_shard: shard, read_state: folder / "state", read_search: folder / "search"}


@pytest.mark.parametrize("read", [read_shard, read_state, read_search])
@given(changed=changes, length=st.floats(0, 1))
@often
def test_damage(files, tmp_path, read, changed, length):
    content = bytearray(files[read].read_bytes())
    for place, value in changed:
        content[int(place * len(content))] = value
    path = tmp_path / files[read].name
    path.write_bytes(content[: int(length * len(content))] if length < 0.5 else content)
    try:
        read(path)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1, error
