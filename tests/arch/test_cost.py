"""Costs equal the reference's, and what the PyTorch module does, to the unit."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from support.networks import PLAIN, SMALL, arch_specs, subnets
from support.places import GOLDEN
from torch import nn

from resnas_deploy.arch.cost import activation_bytes, breakdown, macs, parameters, weight_bytes
from resnas_deploy.arch.elements import elements
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec, Block, Stage, Subnet
from resnas_deploy.network import mixing
from resnas_deploy.network.module import ViTResNAS
from resnas_deploy.weights.vit_search.network_def import parse_network_def


def _measured(arch: ArchSpec) -> tuple[int, int, int]:
    """MACs, parameters and values written, counted on the module as it runs on one image."""
    total_macs = total_values = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total_macs, total_values
        if isinstance(module, nn.Conv2d | nn.Linear):
            total_macs += output.numel() * module.weight[0].numel()
            total_values += output.numel()

    def linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        nonlocal total_macs, total_values
        total_macs += x[..., 0].numel() * weight.numel()
        total_values += x[..., 0].numel() * len(weight)
        return x.new_empty((*x.shape[:-1], len(weight)))

    def products(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        nonlocal total_macs, total_values
        scores = q[..., 0].numel() * k.shape[-2]
        total_macs += scores * (q.shape[-1] + v.shape[-1])
        total_values += scores + q.numel()
        return torch.empty_like(q)

    with pytest.MonkeyPatch.context() as patched, torch.device("meta"), torch.no_grad():
        # What attention computes of mixers is in functions, not in modules.
        patched.setattr(
            mixing, "F", SimpleNamespace(linear=linear, scaled_dot_product_attention=products, avg_pool2d=F.avg_pool2d)
        )
        model = ViTResNAS(arch).eval()
        for module in model.modules():
            module.register_forward_hook(count)
        model(torch.empty(1, 3, arch.image_size, arch.image_size))
    return total_macs, sum(p.numel() for p in model.parameters()), total_values


def test_macs_are_the_references_on_200_subnets() -> None:
    with (GOLDEN / "macs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 200
    assert {row["space"] for row in rows} == {"tiny", "small"}
    wrong = [
        f"line {number}: {found}, not {row['macs']}"
        for number, row in enumerate(rows, start=2)
        if (found := macs(parse_network_def(row["network_def"], image_size=int(row["resolution"])).arch))
        != int(row["macs"])
    ]
    assert not wrong, f"{len(wrong)} of 200 rows differ; the first: {wrong[:3]}"


@given(subnets())
@settings(max_examples=40)
def test_costs_are_what_the_module_does(subnet: Subnet) -> None:
    arch = subnet.arch
    found = macs(arch), parameters(arch), sum(cost.values for cost in breakdown(arch))
    assert found == _measured(arch)


@pytest.mark.parametrize("arch", [SMALL, PLAIN, PUBLISHED["tiny"].arch], ids=["small", "plain", "published"])
def test_costs_of_both_stems_are_what_the_module_does(arch: ArchSpec) -> None:
    assert (macs(arch), parameters(arch), sum(cost.values for cost in breakdown(arch))) == _measured(arch)


def test_a_plain_stem_counts_one_convolution() -> None:
    stem = next(breakdown(PLAIN))  # 8 x 8 patches of 3 x 3 pixels in 3 channels, to 6 channels
    assert (stem.macs, stem.values) == (64 * 27 * 6, 64 * 6)
    assert stem.parameters == (27 + 1) * 6 + 6 + (1 + 64) * 6  # convolution, class token, positions


@given(arch_specs())
def test_the_breakdown_sums_to_the_whole(arch: ArchSpec) -> None:
    costs = list(breakdown(arch))
    assert [cost.name for cost in costs] == [element.name for element in elements(arch)]
    assert sum(cost.macs for cost in costs) == macs(arch)
    assert sum(cost.parameters for cost in costs) == parameters(arch)
    assert all(min(cost.macs, cost.parameters, cost.values) > 0 for cost in costs)


@given(arch_specs())
def test_the_patch_head_is_one_linear_more(arch: ArchSpec) -> None:
    more = parameters(arch, patch_head=True) - parameters(arch)
    assert more == arch.classes * arch.stages[-1].width + arch.classes


@pytest.mark.parametrize(("precision", "size"), [("fp32", 4), ("fp16", 2), ("bf16", 2)])
def test_bytes_are_numbers_times_their_size(precision: str, size: int) -> None:
    assert weight_bytes(SMALL, precision) == size * parameters(SMALL)
    assert activation_bytes(SMALL, 5, precision) == 5 * size * sum(cost.values for cost in breakdown(SMALL))


def test_activation_bytes_of_a_network_counted_by_hand() -> None:
    arch = ArchSpec(
        (Stage(2, (Block(1, 2, 3),)), Stage(3, (Block(2, 1, 4),)), Stage(5, (Block(1, 1, 1),))),
        classes=7,
        image_size=8,
        patch_size=2,
        stem_mid_width=1,
    )
    stem = 3 * 4 * 4 * 1 + 16 * 2  # three convolutions at half size; the projection
    block1 = 17 * (6 + 2 + 2 + 3 + 2) + 17 * 17 * 1  # qkv, attention, projection, fc1, fc2; one head's scores
    reduction1 = 4 * 3 + 3  # convolution; the class token
    block2 = 5 * (6 + 2 + 3 + 4 + 3) + 5 * 5 * 2
    reduction2 = 1 * 5 + 5
    block3 = 2 * (3 + 1 + 5 + 1 + 5) + 2 * 2 * 1
    assert [cost.values for cost in breakdown(arch)] == [stem, block1, reduction1, block2, reduction2, block3, 7]
    assert activation_bytes(arch) == 4 * 830
    assert activation_bytes(arch, 3, "fp16") == 3 * 2 * 830


def test_a_larger_image_has_larger_position_tables_alone() -> None:
    more = parameters(SMALL.with_image_size(64)) - parameters(SMALL)
    assert more == (256 - 64) * 6 + (64 - 16) * 9 + (16 - 4) * 11
