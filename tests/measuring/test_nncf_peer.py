"""Networks as OpenVINO's own tools quantise them, to be measured beside ours."""

from __future__ import annotations

import importlib.util

import numpy as np
import openvino as ov
import pytest
import torch
from support.checks import refusal
from support.little_engine import LITTLE
from support.made_up_measuring import configuration

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import PackageMissing
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring import nncf_peer
from resnas_deploy.measuring.baseline import opened_networks
from resnas_deploy.measuring.nncf_peer import NncfPeer, open_nncf_peer
from resnas_deploy.measuring.peers import beside_peers
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

has_nncf = importlib.util.find_spec("nncf") is not None
needs_nncf = pytest.mark.skipif(not has_nncf, reason="nncf is missing: pip install 'resnas[nncf]'")


@pytest.fixture
def peer(tmp_path):
    return NncfPeer("nncf:little", untrained(LITTLE, seed=0), tmp_path, silent, BatchRange(1, 8))


@needs_nncf
@pytest.mark.slow  # NNCF takes 20 seconds
def test_openvino_runs_it_in_int8(peer):
    images = noise(3, peer.image_size)
    with RUNNERS["openvino"].open(peer, Options(1)) as runner:
        found = runner.run(images)[OUTPUT]
        assert runner.computes == "int8"
    with torch.inference_mode():
        wanted = peer.module()(torch.from_numpy(images)).numpy()
    error = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 0 < error < 0.3
    model = ov.Core().read_model(peer.model)
    types = {each.get_type_name() for each in model.get_ops()}
    assert "FakeQuantize" in types
    assert model.inputs[0].get_any_name() == "images"
    assert model.outputs[0].get_any_name() == OUTPUT
    assert len(peer.digest) == 64


def test_other_runners_refuse_it_by_name(peer):
    for name in ("ort-cpu", "torch-compile"):
        line = refusal(lambda name=name: RUNNERS[name].open(peer, Options(1)))
        wanted = "nncf:little must be run by openvino, which its graph is written for, found the runner "
        assert line == f"{wanted}{name}; give `runners` openvino"


def test_a_name_that_is_no_network_of_ours():
    line = refusal(lambda: open_nncf_peer("nncf:deit-small").__enter__())
    assert line == (
        "a network that NNCF quantises must be one of nncf:tiny, nncf:small, nncf:medium, found 'nncf:deit-small'"
    )


def test_without_the_package_it_says_how_to_have_it(monkeypatch):
    monkeypatch.setattr(nncf_peer, "_PACKAGES", ("torch", "nncf_that_is_not_there"))
    with pytest.raises(PackageMissing, match="nncf_that_is_not_there") as found:
        open_nncf_peer("nncf:small").__enter__()
    assert found.value.install == "pip install 'resnas[nncf]'"


@needs_nncf
def test_it_stands_beside_other_networks():
    with beside_peers([], ["nncf:small", "nncf:small"], silent) as found:
        assert [network.source for network in found] == ["nncf:small"]
        there = [configuration(source=each.source, label=each.label, precision="int8") for each in found]
    with opened_networks(there, [], silent) as again:  # of a baseline
        assert list(again) == [found[0].label]
