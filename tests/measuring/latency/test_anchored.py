"""Groups of networks measured beside an anchor that is opened twice: on a runtime, and on runners that are made up."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.mini_space import EIGHT, MINI, drawn

from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.latency import anchored
from resnas_deploy.measuring.latency.anchored import ANCHORS, GROUP, anchor_of, groups, measure_group, steadied
from resnas_deploy.measuring.latency.networks import emitted, made_up
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.space_files import packaged_spaces

ARCHS = drawn(MINI, 4)
ANCHOR = anchor_of(MINI)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which temporary ones are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@dataclass
class Fake:
    """A kind of runner whose networks run in no time, and a record of what happened."""

    interrupt_at: int = -1  # the run at which Ctrl-C comes
    opened: list = None
    closed: int = 0
    runs: int = 0

    def setup(self, **changes):
        self.opened = []
        kind = replace(RUNNERS["ort-cpu"], open_network=lambda network, options: Opened(self, network, options))
        return replace(Setup(kind, "fp32", 1, 1), **changes)


class Opened:
    def __init__(self, fake, network, options):
        assert network.model.is_file()
        self.fake = fake
        fake.opened.append((network, options))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.fake.closed += 1

    def step(self, images):
        def run():
            self.fake.runs += 1
            if self.fake.runs == self.fake.interrupt_at:
                raise KeyboardInterrupt

        self.fake.shape = images.shape
        return run


def measure(setup, archs=ARCHS, anchor=ANCHOR, progress=silent):
    return measure_group(setup, archs, anchor, np.random.default_rng(0), progress)


def test_a_group_on_a_runtime(temporary, monkeypatch):
    monkeypatch.setattr(anchored, "MOST_ROUNDS", 8)
    told = []
    found = measure(Setup(RUNNERS["ort-cpu"], "fp32", 1, 1), progress=told.append)
    assert [item.arch for item in found] == ARCHS
    assert all(len(item.samples_s) == len(item.anchor_s) == 8 for item in found)
    assert all(0.05 < item.ratio < 20 for item in found)
    assert len({item.anchor_s for item in found}) == 1
    assert len({item.samples_s for item in found}) == len(found)
    assert list(temporary.iterdir()) == []
    assert [text for text in told if text.startswith("loading")] == [f"loading {arch.fingerprint}" for arch in ARCHS]


def test_a_round_in_which_all_is_slow_is_steadied_and_a_single_slow_run_is_not():
    drifting = {"a": [1.0, 1.0, 2.0, 1.0, 1.0], "b": [3.0, 3.0, 6.0, 3.0, 3.0], "c": [5.0, 9.0, 10.0, 5.0, 5.0]}
    found = steadied(drifting)
    assert found == {"a": [1.0] * 5, "b": [3.0] * 5, "c": [5.0, 9.0, 5.0, 5.0, 5.0]}


def test_a_larger_network_takes_longer_than_the_anchor(temporary):
    """The widest of all, on images of four times the area, against the narrowest."""
    large = MINI.widest().arch.with_image_size(448)
    (found,) = measure(Setup(RUNNERS["ort-cpu"], "fp32", 1, 1), [large], MINI.narrowest().arch)
    assert found.ratio > 2


def test_the_anchor_is_opened_twice_and_before_all_others(temporary):
    fake = Fake()
    measure(fake.setup(threads=3))
    assert [network.arch for network, _ in fake.opened] == [ANCHOR] * ANCHORS + ARCHS
    assert ANCHORS == 2
    assert fake.closed == len(fake.opened)
    assert all(options.threads == 3 and options.shares_cores for _, options in fake.opened)


def test_the_anchor_is_measured_beside_itself_too(temporary):
    fake = Fake()
    found = measure(fake.setup(), [ANCHOR, *ARCHS])
    assert [item.arch for item in found] == [ANCHOR, *ARCHS]
    assert len(fake.opened) == ANCHORS + 1 + len(ARCHS)


@pytest.mark.parametrize(("precision", "batch"), [("fp32", 1), ("fp16", 3)])
def test_networks_are_of_the_precision_and_the_batch_asked_for(temporary, precision, batch):
    fake = Fake()
    measure(fake.setup(precision=precision, batch=batch))
    assert {network.precision for network, _ in fake.opened} == {precision}
    assert fake.shape == (batch, 3, 112, 112)


@pytest.mark.parametrize("at", [1, 4, 5, 20, 60])
def test_ctrl_c_gives_nothing_of_the_group_and_leaves_nothing(temporary, at):
    """While the anchor is run for the first time, in the warm-up, and in the rounds."""
    fake = Fake(interrupt_at=at)
    with pytest.raises(KeyboardInterrupt):
        measure(fake.setup())
    assert fake.closed == len(fake.opened) == ANCHORS + len(ARCHS)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("batch", [1, 64, 65, 4096])
def test_a_candidate_takes_the_batch_that_is_measured(tmp_path, batch):
    network = emitted(untrained(ANCHOR), "fp32", batch, tmp_path)
    assert batch in network.batch
    assert (network.arch, network.source, network.digest) == (ANCHOR, ANCHOR.fingerprint, ANCHOR.fingerprint)
    assert network.model == Path(tmp_path / f"{ANCHOR.fingerprint}.onnx")


def test_groups():
    archs = drawn(MINI, 2 * GROUP + 3)
    found = list(groups(archs))
    assert [len(group) for group in found] == [GROUP, GROUP, 3]
    assert [arch for group in found for arch in group] == archs
    assert list(groups([])) == []


def test_the_anchor_is_a_network_of_the_space_and_always_the_same():
    for space in (*packaged_spaces().values(), MINI, EIGHT):
        assert anchor_of(space) == anchor_of(space)
        assert space.holds(anchor_of(space))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_network_with_made_up_weights_is_the_same_but_for_its_numbers(tmp_path, precision):
    """And the numbers are such that nothing in it is slow: finite, and no two weights equal."""
    real = onnx.load(emitted(untrained(ARCHS[0]), precision, 1, tmp_path).model)
    network = made_up(ARCHS[0], precision, 1, tmp_path)
    found = onnx.load(network.model)
    assert [node.SerializeToString() for node in found.graph.node] == [
        node.SerializeToString() for node in real.graph.node
    ]
    for one, other in zip(found.graph.initializer, real.graph.initializer, strict=True):
        assert (one.name, one.dims, one.data_type) == (other.name, other.dims, other.data_type)
        assert len(one.raw_data) == len(other.raw_data)
        assert (one.raw_data == other.raw_data) == one.name.startswith(("ints", "ones"))
    weights = [one.raw_data for one in found.graph.initializer if not one.name.startswith(("ints", "ones"))]
    assert len(set(weights)) == len(weights)
    with RUNNERS["ort-cpu"].open(network, Options(1)) as runner:
        logits = runner.run(noise(2, 112))["logits"]
    assert np.isfinite(logits).all()
    assert np.abs(logits).max() < 100
