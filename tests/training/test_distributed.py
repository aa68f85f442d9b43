"""Two processes by torchrun train as one does, and what they share."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.distributed as dist
from support.checks import assert_close
from support.small_data import SPACE, write_folder, write_shards
from support.small_spaces import TWO_STAGES, toml_of
from support.training_commands import resnas

from resnas_deploy.training.distributed import share_batch_norms
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sampling import draw_groups
from resnas_deploy.weights.checkpoint import load, untrained

TOLERANCE = 2e-5  # of the losses: sums in another order


def trained(folder, processes, data, *settings, space="little"):
    recipe = folder / "recipe.toml"
    recipe.write_text(
        "epochs = 2\nbatch = 8\ngroup = 4\nlearning_rate = 0.1\ndrop_path = 0.2\nwarm_up_epochs = 1\nema = 0.5\n"
    )
    out = folder / f"run{processes}"
    options = ["--recipe", recipe, "--data", data, "--out", out, "--space", space, "--json"]
    for setting in settings:
        options += ["--set", setting]
    document = json.loads(resnas("train", "supernet", *options, processes=processes))
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines], load(out / "checkpoint.safetensors"), document


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path):
    data = write_folder(tmp_path / "data")
    (one, alone, document), (two, together, other) = (trained(tmp_path, count, data) for count in (1, 2))
    assert_close(one, two, TOLERANCE, "losses")
    for name, tensor in alone.tensors.items():
        assert_close(tensor, together.tensors[name], 2e-3, name)
    assert document["top1"] == other["top1"]
    assert document["pictures"] == other["pictures"] == 6


@pytest.mark.slow
@pytest.mark.parametrize("masked", ["true", "false"])
def test_two_processes_in_parts_and_recomputing_train_as_one(tmp_path, masked):
    """Gradients are shared once, with the last part, whichever parameters the subnets of that part have."""
    data = write_folder(tmp_path / "data")
    groups = ("group=1", f"masked={masked}", "mixing=false")
    one, alone, document = trained(tmp_path, 1, data, *groups)
    parted = (*groups, "accumulation=4", "activation_checkpointing=true")
    two, together, other = trained(tmp_path, 2, data, *parted)
    assert_close(one, two, TOLERANCE, "losses")
    for name, tensor in alone.tensors.items():
        assert_close(tensor, together.tensors[name], 2e-3, name)
    assert document["memory"]["activations"] >= other["memory"]["activations"]


@pytest.mark.slow
@pytest.mark.parametrize("masked", ["true", "false"])
def test_two_processes_train_stems_of_several_widths_as_one(tmp_path, masked):
    """A channel's batch statistics are those of all images that have it, in whichever process."""
    data, space = write_folder(tmp_path / "data"), tmp_path / "two-stages.toml"
    space.write_text(toml_of(TWO_STAGES))
    settings = ("group=1", f"masked={masked}", "held_out=0")
    (one, alone, _), (two, together, _) = (trained(tmp_path, count, data, *settings, space=space) for count in (1, 2))
    assert_close(one, two, TOLERANCE, "losses")
    for name, tensor in alone.tensors.items():
        assert_close(tensor, together.tensors[name], 2e-3, name)


@pytest.mark.slow
def test_two_processes_read_shards(tmp_path):
    losses, checkpoint, document = trained(tmp_path, 2, write_shards(tmp_path / "data"))
    assert np.isfinite(losses).all()
    assert document["pictures"] == 18
    assert checkpoint.task.class_names == ("red", "green", "blue")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_batch_norms_that_are_shared_keep_their_weights_and_names(device):
    """Whatever is trained by one process is gone on with by several; on GPUs by PyTorch's own batch normalisation."""
    network = TrainedNetwork(SPACE.widest().full)
    before, plain = dict(network.named_parameters()), network.state_dict().keys()
    share_batch_norms(network, torch.device(device))
    assert all(own is before[name] for name, own in network.named_parameters())
    assert network.state_dict().keys() == plain
    norms = {type(module) for name, module in network.named_modules() if name.rpartition(".")[2].startswith("bn")}
    assert len(norms) == 1
    assert norms != {torch.nn.BatchNorm2d}
    assert (norms == {torch.nn.SyncBatchNorm}) == (device == "cuda")


@pytest.fixture
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_a_shared_stem_under_masks_is_one_processs(one_process):
    results = []
    for is_shared in (False, True):
        network = TrainedNetwork(TWO_STAGES.widest().full, space=TWO_STAGES)
        network.load(untrained(network.arch))
        if is_shared:
            share_batch_norms(network, torch.device("cpu"))
        subnets = draw_groups(TWO_STAGES, 3, np.random.default_rng(0))
        assert {subnet.full.stem_mid_width for subnet in subnets} == {4, 6}
        pixels = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        network.train()(pixels, subnets).image.square().sum().backward()
        norm = network.body.get_submodule("stem.bn2")
        results.append([norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var])
    for name, one, other in zip(("weight", "bias", "mean", "variance"), *results, strict=True):
        assert_close(one, other, 1e-5, name)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_shared_batch_norm_is_pytorchs_own(one_process, precision):
    """Values, gradients and running statistics, of what autocast gives it too."""
    results = []
    for is_shared in (False, True):
        network = torch.nn.Sequential(torch.nn.BatchNorm2d(4))
        if is_shared:
            share_batch_norms(network, torch.device("cpu"))
        x = torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(0)).to(precision).requires_grad_()
        y = network(x)
        assert y.dtype == precision
        (y.float() * torch.linspace(0, 1, 25).reshape(5, 5)).sum().backward()
        norm = network[0]
        results.append([y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var])
    for name, one, other in zip(("y", "x", "weight", "bias", "mean", "variance"), *results, strict=True):
        tolerance = 1e-5 if one.dtype == torch.float32 else 2e-2
        assert_close(one.detach().float(), other.detach().float(), tolerance, name)
