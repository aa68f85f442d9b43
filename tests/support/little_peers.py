"""Published networks made small: the same families and attention, other widths and depths."""

from __future__ import annotations

from dataclasses import replace

from resnas_deploy.measuring.peer_specs import PEERS

DEPTHS = (1, 1, 1, 1)


def little(name, image_size, **config):
    """A published network with another configuration and 10 classes."""
    spec = PEERS[name]
    return replace(spec, image_size=image_size, config={**spec.config, "num_labels": 10, **config})


LITTLE = {
    "pit-tiny": little("pit-tiny", 64, head_dim=8, num_attention_heads=(1, 2, 4), depths=(1, 1, 1)),
    "deit-tiny": little(
        "deit-tiny", 64, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    ),
    "pvt-tiny": little("pvt-tiny", 64, hidden_sizes=(16, 32, 48, 64), num_attention_heads=(1, 2, 3, 4), depths=DEPTHS),
    "swin-tiny": little("swin-tiny", 112, embed_dim=16, num_heads=(1, 2), depths=(2, 2)),
}
