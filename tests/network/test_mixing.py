"""Attention of each mixer is softmax over the tokens that it may look at, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.checks import assert_close
from support.networks import SMALL

from resnas_deploy.arch.mixer import Mixer, mixer_named
from resnas_deploy.network.mixing import attend, queries_keys_values
from resnas_deploy.network.module import build_model
from resnas_deploy.weights.checkpoint import untrained

HEADS, WIDTH, INNER = 2, 6, 8
TOLERANCE = 1e-12  # in float64
NAMES = ("global", "window1", "window2", "window3", "window5", "window9", "pooled1", "pooled2", "pooled3", "pooled9")


def stated(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, mixer: Mixer, side: int) -> torch.Tensor:
    """What the definition says, token by token."""
    tokens = x.shape[1]
    sources, cell = (
        x,
        [
            (index // side // mixer.size, index % side // mixer.size) if mixer.size else (0, 0)
            for index in range(side**2)
        ],
    )
    allowed = torch.ones(tokens, tokens, dtype=torch.bool)
    if mixer.kind == "pooled":
        own = [torch.tensor([c == each for c in cell]) for each in sorted(set(cell))]
        sources = torch.cat([x[:, :1], torch.stack([x[:, 1:][:, mask].mean(1) for mask in own], 1)], 1)
        allowed = torch.ones(tokens, len(own) + 1, dtype=torch.bool)
    elif mixer.kind == "window":
        allowed[1:, 1:] = torch.tensor([[one == other for other in cell] for one in cell])
    q, k, v = (
        source @ w.T + b for source, w, b in zip((x, sources, sources), weight.chunk(3), bias.chunk(3), strict=True)
    )
    size, found = INNER // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / size**0.5
        found.append(scores.masked_fill(~allowed, -torch.inf).softmax(-1) @ v[..., part])
    return torch.stack(found, 1)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", NAMES)
def test_attention_looks_at_what_its_mixer_says(name: str, side: int) -> None:
    random, mixer = torch.Generator().manual_seed(0), mixer_named(name).at(side)
    x, weight, bias = (
        torch.randn(shape, generator=random, dtype=torch.float64)
        for shape in ((2, 1 + side**2, WIDTH), (3 * INNER, WIDTH), (3 * INNER,))
    )
    q, k, v = queries_keys_values(x, weight, bias, HEADS, mixer, side)
    assert k.shape[2] == mixer.sources(side)
    assert_close(attend(q, k, v, mixer, side), stated(x, weight, bias, mixer, side), TOLERANCE, f"{name} on {side}")


@pytest.mark.parametrize("name", ["window8", "window9", "pooled1"])
def test_what_covers_the_grid_is_global_to_the_bit(name: str) -> None:
    weights, images = untrained(SMALL, seed=1), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    stages = tuple(replace(s, blocks=tuple(replace(b, mixer=name) for b in s.blocks)) for s in SMALL.stages)
    other = replace(weights, arch=replace(SMALL, stages=stages))
    with torch.inference_mode():
        assert torch.equal(build_model(weights)(images), build_model(other)(images))
