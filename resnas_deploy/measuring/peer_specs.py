"""The networks of other papers that ours are compared with: what they are built from, what they cost, what they reach.

Top-1 is the papers' own, on ImageNet-1k's validation images at 224 pixels, trained on ImageNet-1k alone and without a
distilling teacher. Nothing here was measured by us.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# transformers gives every implementation that it knows a mask when it is traced, all ones here, which costs time. It
# gives none to one that was registered under another name.
UNMASKED = "unmasked_sdpa"
NNCF = "nncf:"  # before the name of a published network of ours that NNCF quantises: `nncf_peer`
VIT, PIT = "vit", "pit"  # the families that are modules of ours: PiT always is, ViT where transformers is missing


@dataclass(frozen=True)
class PeerSpec:
    """A published network: what it is built from, what it costs, and what its paper says that it reaches."""

    name: str
    gmacs: float  # billions of multiply-accumulates for one image, as published
    parameters: int
    family: str  # `model_type` of transformers, or `PIT`
    attention: str  # which of its implementations: `UNMASKED`, or eager where the family has no other to be traced
    image_size: int
    config: Mapping[str, object]
    top1: float  # per cent, as published
    top1_from: str  # the paper and its table


_TITLES = {"deit": "DeiT", "pit": "PiT", "pvt": "PVT", "swin": "Swin"}


def title_of(name: str) -> str:
    """Return what people call the family that a name such as deit-tiny begins with."""
    return _TITLES[name.partition("-")[0]]


def _deit(name: str, gmacs: float, parameters: int, width: int, heads: int, top1: float) -> PeerSpec:
    """Return DeiT without its distillation token: ViT (arXiv 2012.12877, table 1). MACs: PVT, table 2.

    Top-1: its paper's table 5, and naver-ai/pit's README.md too; facebookresearch/deit's README_deit.md has 79.9 for
    the weights of small that were published later.
    """
    config = {
        "patch_size": 16,
        "hidden_size": width,
        "num_hidden_layers": 12,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    source = "DeiT, arXiv 2012.12877, table 5"
    return PeerSpec(f"deit-{name}", gmacs, parameters, VIT, UNMASKED, 224, config, top1, source)


def _pit(
    name: str, gmacs: float, parameters: int, head_dim: int, heads: tuple[int, ...], top1: float, *, big: bool = False
) -> PeerSpec:
    """Return PiT without its distillation token (arXiv 2103.16302, tables 1 and 2; naver-ai/pit, README.md).

    Its paper counts up to 1.5% more multiply-accumulates than its products and convolutions alone have.
    """
    config = {
        "patch_size": 14 if big else 16,
        "patch_stride": 7 if big else 8,
        "head_dim": head_dim,
        "num_attention_heads": heads,
        "depths": (3, 6, 4) if big else (2, 6, 4),
        "mlp_ratio": 4,
        "layer_norm_eps": 1e-6,
    }
    source = "PiT, arXiv 2103.16302, the column +DeiT in the README of naver-ai/pit"
    return PeerSpec(f"pit-{name}", gmacs, parameters, PIT, "sdpa", 224, config, top1, source)


def _pvt(name: str, gmacs: float, parameters: int, depths: tuple[int, ...], top1: float) -> PeerSpec:
    """Return the pyramid vision transformer, version 1 (PVT, arXiv 2102.12122, tables 1 and 2)."""
    config = {
        "depths": depths,
        "hidden_sizes": (64, 128, 320, 512),
        "num_attention_heads": (1, 2, 5, 8),
        "mlp_ratios": (8, 8, 4, 4),
        "sequence_reduction_ratios": (8, 4, 2, 1),
        "patch_sizes": (4, 2, 2, 2),
        "strides": (4, 2, 2, 2),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    source = "PVT, arXiv 2102.12122, table 2, and the README of whai362/PVT"
    return PeerSpec(f"pvt-{name}", gmacs, parameters, "pvt", "eager", 224, config, top1, source)


def _swin(name: str, gmacs: float, parameters: int, depths: tuple[int, ...], top1: float) -> PeerSpec:
    """Return Swin (arXiv 2103.14030, section 3.3 and table 1).

    With sdpa attention its windows cannot be traced with a dynamic batch. Top-1: its paper's; the README of
    microsoft/Swin-Transformer has 81.2 and 83.2 for the weights that were published.
    """
    config = {
        "patch_size": 4,
        "embed_dim": 96,
        "depths": depths,
        "num_heads": (3, 6, 12, 24),
        "window_size": 7,
        "mlp_ratio": 4.0,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "qkv_bias": True,
        "use_absolute_embeddings": False,
    }
    source = "Swin, arXiv 2103.14030, table 1"
    return PeerSpec(f"swin-{name}", gmacs, parameters, "swin", "eager", 224, config, top1, source)


PEERS: Mapping[str, PeerSpec] = {
    spec.name: spec
    for spec in (
        _deit("tiny", 1.3, 5_717_416, width=192, heads=3, top1=72.2),
        _deit("small", 4.6, 22_050_664, width=384, heads=6, top1=79.8),
        _deit("base", 17.6, 86_567_656, width=768, heads=12, top1=81.8),
        _pit("tiny", 0.71, 4_847_272, head_dim=32, heads=(2, 4, 8), top1=73.0),
        _pit("xs", 1.4, 10_618_888, head_dim=48, heads=(2, 4, 8), top1=78.1),
        _pit("small", 2.9, 23_461_912, head_dim=48, heads=(3, 6, 12), top1=80.9),
        _pit("base", 12.5, 73_764_840, head_dim=64, heads=(4, 8, 16), top1=82.0, big=True),
        _pvt("tiny", 1.9, 13_229_288, depths=(2, 2, 2, 2), top1=75.1),
        _pvt("small", 3.8, 24_485_864, depths=(3, 4, 6, 3), top1=79.8),
        _pvt("medium", 6.7, 44_208_104, depths=(3, 4, 18, 3), top1=81.2),
        _pvt("large", 9.8, 61_369_320, depths=(3, 8, 27, 3), top1=81.7),
        _swin("tiny", 4.5, 28_288_354, depths=(2, 2, 6, 2), top1=81.3),
        _swin("small", 8.7, 49_606_258, depths=(2, 2, 18, 2), top1=83.0),
    )
}
