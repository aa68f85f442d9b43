"""What is trained: a supernet, or one network, with the head on patch tokens that training has beside the other.

`network.module.ViTResNAS` holds the weights and knows nothing of this; a pass computes subnets of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.network.module import Head, Stem, ViTResNAS, part_of
from resnas_deploy.training.device import laid_out
from resnas_deploy.training.masked import masked_tokens, masks_of
from resnas_deploy.training.recomputing import Through, plainly, recomputed, recomputed_norms
from resnas_deploy.training.sliced import sliced_linear, sliced_tokens
from resnas_deploy.training.stems import masked_features, sliced_features
from resnas_deploy.training.transfer import moved
from resnas_deploy.weights.checkpoint import Checkpoint, MeasuredAccuracy, Provenance, Task
from resnas_deploy.weights.schema import tensor_shapes

INITIAL_DEVIATION = 0.02  # of weights, tokens and positions at the start (truncated normal)


@dataclass(frozen=True)
class Logits:
    """The logits of both heads."""

    image: Tensor  # (B, classes), from the class token
    patches: Tensor  # (B, N, classes), from the patch tokens of the last stage


class TrainedNetwork(nn.Module):
    """Trains the subnets of `arch`, with slices of its weights or under masks.

    `forward(images, subnets, survival)` gives each of the subnets an equal share of the batch, in order. `survival` is
    what `drop_path` draws. Both ways give the same logits and gradients; `masked` says which one is taken. With
    `checkpointing` a training pass keeps fewer activations, and the way back computes them again.

    The `space` of the subnets says of what sorts of masks there will be, whichever subnets a batch has: processes that
    share a batch must compute alike, and memory is counted with all of them.
    """

    def __init__(
        self, arch: ArchSpec, *, masked: bool = False, checkpointing: bool = False, space: SearchSpace | None = None
    ) -> None:
        super().__init__()
        self.masked, self.checkpointing, self._space = masked, checkpointing, space
        self._stems_differ = space is not None and len(space.stem_mid_widths) > 1
        self._heads_differ = space is not None and any(len(stage.head_dims) > 1 for stage in space.stages)
        self._masked_tokens, self._sliced_tokens = masked_tokens, sliced_tokens
        self.body = ViTResNAS(arch)
        self.patch_head = nn.Linear(arch.stages[-1].width, arch.classes)

    @property
    def arch(self) -> ArchSpec:
        """The widest network."""
        return self.body.arch

    def forward(self, images: Tensor, subnets: Sequence[Subnet], survival: Tensor | None = None) -> Logits:
        return self.from_features(self.features(images, subnets), subnets, survival)

    def features(self, images: Tensor, subnets: Sequence[Subnet], through: Through | None = None) -> Tensor:
        """Return what the stem's projection reads, `(B, mid, S/2, S/2)`.

        Where the stem's convolutions are the same in every subnet they are computed once, and batch statistics are of
        all images together; else of all images that have the channel. `through` is how the parts of the network are
        called, by default as `checkpointing` says.
        """
        stem, images = part_of(self.body, "stem", Stem), laid_out(images)
        call = through or (recomputed_norms(stem) if self._checkpoints() else plainly)
        widths, full = {subnet.full.stem_mid_width for subnet in subnets}, self.arch.stem_mid_width
        if widths == {full} and not (self.training and self._stems_differ):
            return call(stem.features, images)
        if len(widths) == 1 and not (self.training or self.masked):
            return call(sliced_features, stem, images, widths.pop())
        counts = moved(torch.tensor([subnet.full.stem_mid_width for subnet in subnets]), images.device)
        mask = (torch.arange(full, device=images.device) < counts[:, None]).float()  # (groups, mid)
        return call(masked_features, stem, images, mask.repeat_interleave(len(images) // len(subnets), dim=0))

    def from_features(
        self,
        features: Tensor,
        subnets: Sequence[Subnet],
        survival: Tensor | None = None,
        through: Through | None = None,
    ) -> Logits:
        """Return what `forward` does, of what `features` returns or some of its groups."""
        through = through or (recomputed if self._checkpoints() else plainly)
        if self.masked:
            channels = self._heads_differ or any(_sizes(subnet.full) != _sizes(self.arch) for subnet in subnets)
            masks = masks_of(self.body, subnets, len(features), features.device, channels=channels, space=self._space)
            return self._logits(self._masked_tokens(self.body, features, masks, survival, through))
        size, start, parts = len(features) // len(subnets), 0, []
        for subnet, equal in groupby(subnets):
            stop = start + size * len(list(equal))
            own = survival[:, start:stop] if survival is not None else None
            parts.append(self._logits(self._sliced_tokens(self.body, features[start:stop], subnet, own, through)))
            start = stop
        return Logits(torch.cat([part.image for part in parts]), torch.cat([part.patches for part in parts]))

    def compile_passes(self) -> None:
        """Compute by `torch.compile` from now on. Sliced passes are compiled for each subnet, masked ones once."""
        self._masked_tokens = torch.compile(masked_tokens)
        self._sliced_tokens = torch.compile(sliced_tokens)

    def _checkpoints(self) -> bool:
        return self.checkpointing and torch.is_grad_enabled()

    def _logits(self, tokens: Tensor) -> Logits:
        """Return what both heads say of normed tokens `(B, 1 + N, C)`, of as many channels as there are."""
        head, classes = part_of(self.body, "head", Head).linear, self.arch.classes
        return Logits(
            sliced_linear(head, tokens[:, 0], classes), sliced_linear(self.patch_head, tokens[:, 1:], classes)
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Draw random weights to train from: tokens, positions and linears a truncated normal, linears' biases 0.

        Convolutions are uniform up to 1 / sqrt(inputs of an output), biases too: what PyTorch draws for them, but by
        the generator. Norms stay as PyTorch makes them.
        """
        for name, parameter in self.named_parameters():
            layer, _, kind = name.rpartition(".")
            module = self.get_submodule(layer)
            if isinstance(module, nn.Conv2d):
                bound = module.weight[0].numel() ** -0.5
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
            elif kind in ("class_token", "position") or (isinstance(module, nn.Linear) and kind == "weight"):
                nn.init.trunc_normal_(parameter, std=INITIAL_DEVIATION, generator=generator)
            elif isinstance(module, nn.Linear):
                nn.init.zeros_(parameter)

    def load(self, checkpoint: Checkpoint) -> None:
        """Take a checkpoint's weights; where it has no head on patch tokens, that of the class token is copied."""
        tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in checkpoint.tensors.items()}
        for name in ("weight", "bias"):
            tensors.setdefault(f"patch_head.{name}", tensors[f"head.linear.{name}"].clone())
        own = self.state_dict()
        for name, tensor in tensors.items():
            own[name if name.startswith("patch_head.") else f"body.{name}"].copy_(tensor)

    def checkpoint(
        self, provenance: Provenance, task: Task | None, accuracy: MeasuredAccuracy | None = None
    ) -> Checkpoint:
        """Return the weights as they are now."""
        state = self.state_dict()
        names = {name: f"body.{name}" for name in tensor_shapes(self.arch)}
        names |= {f"patch_head.{name}": f"patch_head.{name}" for name in ("weight", "bias")}
        tensors = {name: state[own].detach().float().cpu().numpy().copy() for name, own in names.items()}
        return Checkpoint(self.arch, tensors, provenance, task, accuracy)


def _sizes(arch: ArchSpec) -> list[int]:
    return [block.head_dim for stage in arch.stages for block in stage.blocks]


def drop_path(rate: float, drawn: Tensor) -> Tensor:
    """Return by what to multiply each residual branch of each image, `(2 x positions, images)`: in expectation 1.

    Stochastic depth (arXiv 1603.09382): the chance that a branch is dropped grows linearly with depth up to `rate`.
    `drawn` are uniform random numbers from 0 to 1 of that shape.
    """
    rates = torch.linspace(0, rate, len(drawn) // 2).repeat_interleave(2)[:, None]
    return (drawn >= rates) / (1 - rates)
