"""PiT as its paper has it: its stages, and how it pools."""

from __future__ import annotations

import torch
from support.little_peers import LITTLE

from resnas_deploy.measuring import peers
from resnas_deploy.measuring.peer_specs import PEERS


def shapes_in(stages):
    """A list that the shapes before and after each stage come into when the network runs."""
    seen = []
    for stage in stages:
        stage.register_forward_hook(lambda _, inputs, found: seen.append((inputs[0].shape, found.shape)))
    return seen


def test_pit_halves_its_grid_and_doubles_its_width():
    """The shapes of its paper's table 1: 27x27, 14x14 and 7x7 tokens and the class token; of B 31, 16 and 8."""
    for name, sides in (("pit-small", (27, 14, 7)), ("pit-base", (31, 16, 8))):
        with torch.device("meta"), torch.inference_mode():
            network = peers._build(PEERS[name]).eval()
            seen = shapes_in(network.stages)
            network(torch.empty(1, 3, 224, 224))
        widths = [heads * PEERS[name].config["head_dim"] for heads in PEERS[name].config["num_attention_heads"]]
        assert seen == [((1, 1 + side**2, width),) * 2 for side, width in zip(sides, widths, strict=True)]
        assert widths == [widths[0], 2 * widths[0], 4 * widths[0]]
        assert all(pool.grid.groups == pool.grid.in_channels for pool in network.pools)  # depthwise


def test_pit_pools_channel_by_channel_and_the_class_token_by_itself():
    """Of a pooling's two outputs a channel, each hangs on its own channel alone; the class token on none of them."""
    pool = peers._build(LITTLE["pit-tiny"]).eval().pools[0]
    side, width = pool.side, pool.width
    tokens = torch.zeros(1, 1 + side**2, width)
    other = tokens.clone()
    other[0, 1:, 3] = 1.0
    with torch.inference_mode():
        moved = (pool(other) - pool(tokens)).abs().amax(dim=(0, 1))
        assert torch.equal(pool(other)[0, 0], pool(tokens)[0, 0])
    assert torch.nonzero(moved).flatten().tolist() == [6, 7]
