"""ViT-ResNAS as a PyTorch module (arXiv 2109.00642, section 3): inference, readable, no masks and no flags.

The module's tree has the names of `arch.elements`, so its state has the names of `tensors.tensor_shapes`, and the
output of every element can be compared with the emitted graph's by name.
"""

from __future__ import annotations

from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnas_deploy.arch.elements import (
    BATCH_NORM_EPS,
    NORM_EPS,
    BlockElement,
    Element,
    HeadElement,
    ReductionElement,
    StemElement,
    elements,
)
from resnas_deploy.arch.mixer import Mixer
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.network.mixing import attend, queries_keys_values
from resnas_deploy.weights.checkpoint import Checkpoint

Part = TypeVar("Part", bound=nn.Module)


class Stem(nn.Module):
    """Images `(B, 3, S, S)` to tokens `(B, 1 + N, C)`: convolutions, class token in front, positions added."""

    def __init__(self, element: StemElement) -> None:
        super().__init__()
        mid = element.mid_width
        if mid:
            self.conv1 = nn.Conv2d(3, mid, 3, stride=2, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(mid, eps=BATCH_NORM_EPS)
            self.conv2 = nn.Conv2d(mid, mid, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(mid, eps=BATCH_NORM_EPS)
            self.conv3 = nn.Conv2d(mid, mid, 3, padding=1, bias=False)
            self.bn3 = nn.BatchNorm2d(mid, eps=BATCH_NORM_EPS)
        self.has_convolutions = bool(mid)
        kernel = element.patch_size // 2 if mid else element.patch_size
        self.projection = nn.Conv2d(mid or 3, element.width, kernel, stride=kernel)
        self.class_token = nn.Parameter(torch.zeros(1, 1, element.width))
        self.position = nn.Parameter(torch.zeros(1, 1 + element.side**2, element.width))

    def features(self, images: Tensor) -> Tensor:
        """Return what the projection reads: `(B, mid, S/2, S/2)`, or the images themselves."""
        if not self.has_convolutions:
            return images
        x = F.relu(self.bn1(self.conv1(images)))
        return x + F.relu(self.bn3(self.conv3(F.relu(self.bn2(self.conv2(x))))))

    def patches(self, features: Tensor) -> Tensor:
        """Return patch tokens `(B, N, C)` of those features, before class token and positions."""
        return cast(Tensor, self.projection(features)).flatten(2).transpose(1, 2)

    def tokens(self, features: Tensor) -> Tensor:
        """Return tokens `(B, 1 + N, C)` of those features."""
        x = self.patches(features)
        return torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.position

    def forward(self, images: Tensor) -> Tensor:
        return self.tokens(self.features(images))


class Attention(nn.Module):
    """Multi-head self-attention on `(B, 1 + side * side, C)`; heads x head_dim need not equal C.

    `mixer` says which tokens attend to which, as it is on that grid.
    """

    def __init__(self, width: int, heads: int, head_dim: int, mixer: Mixer, side: int) -> None:
        super().__init__()
        self.heads, self.head_dim, self.mixer, self.side = heads, head_dim, mixer, side
        self.qkv = nn.Linear(width, 3 * heads * head_dim)  # rows ordered q, k, v, each by head
        self.projection = nn.Linear(heads * head_dim, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = queries_keys_values(x, self.qkv.weight, self.qkv.bias, self.heads, self.mixer, self.side)
        x = attend(q, k, v, self.mixer, self.side)
        return cast(Tensor, self.projection(x.transpose(1, 2).flatten(2)))


class Mlp(nn.Module):
    """Linear, exact GELU, linear on `(B, T, C)`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.fc2(F.gelu(self.fc1(x))))


class TransformerBlock(nn.Module):
    """Pre-norm transformer block on `(B, T, C)`."""

    def __init__(self, element: BlockElement) -> None:
        super().__init__()
        width, block = element.width, element.block
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = Attention(width, block.heads, block.head_dim, element.mixer, element.side)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, block.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + cast(Tensor, self.mlp(self.norm2(x)))


class ResidualReduction(nn.Module):
    """Residual spatial reduction, `(B, 1 + N, C)` to `(B, 1 + N/4, C')` (paper, section 3.1).

    The convolution and the class token's linear read the norm; the residual is the un-normalised input, pooled 2x2 and
    zero-padded in channels. An odd side is halved and rounded up; what a window has beyond the edge does not count.
    """

    def __init__(self, element: ReductionElement) -> None:
        super().__init__()
        self.side, self.padding = element.side, element.out_width - element.width
        self.norm = nn.LayerNorm(element.width, eps=NORM_EPS)
        self.conv = nn.Conv2d(element.width, element.out_width, 3, stride=2, padding=1)
        self.class_linear = nn.Linear(element.width, element.out_width)
        self.position = nn.Parameter(torch.zeros(1, element.out_side**2, element.out_width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        patches = self.conv(self.grid(normed)).flatten(2).transpose(1, 2) + self.position
        reduced = torch.cat([self.class_linear(normed[:, :1]), patches], dim=1)
        return reduced + F.pad(self.residual(x), (0, self.padding))

    def residual(self, x: Tensor) -> Tensor:
        """Return the input with its patch tokens pooled, `(B, 1 + N/4, C)`."""
        pooled = F.avg_pool2d(self.grid(x), 2, ceil_mode=True).flatten(2).transpose(1, 2)
        return torch.cat([x[:, :1], pooled], dim=1)

    def grid(self, x: Tensor) -> Tensor:
        """Return the patch tokens as an image, `(B, C, side, side)`."""
        return x[:, 1:].transpose(1, 2).reshape(x.shape[0], -1, self.side, self.side)


class Head(nn.Module):
    """Final norm and linear on the class token, `(B, T, C)` to `(B, classes)`."""

    def __init__(self, element: HeadElement) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(element.width, eps=NORM_EPS)
        self.linear = nn.Linear(element.width, element.classes)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.norm(x[:, 0])))


class ViTResNAS(nn.Module):
    """Images `(B, 3, S, S)`, normalised, to logits `(B, classes)`."""

    def __init__(self, arch: ArchSpec) -> None:
        super().__init__()
        self.arch = arch
        for element in elements(arch):
            stage, _, block = element.name.partition(".")
            if block:
                if not hasattr(self, stage):
                    self.add_module(stage, nn.Sequential())
                self.get_submodule(stage).add_module(block, _module(element))
            else:
                self.add_module(stage, _module(element))

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for module in self.children():
            x = module(x)
        return x


def build_model(checkpoint: Checkpoint) -> ViTResNAS:
    """Return the network in evaluation mode, sharing the checkpoint's memory; `patch_head` is left out."""
    with torch.device("meta"):  # no time spent on initial values that would be replaced at once
        model = ViTResNAS(checkpoint.arch)
    state = {
        name: torch.from_numpy(tensor)
        for name, tensor in checkpoint.tensors.items()
        if not name.startswith("patch_head.")
    }
    for name, _ in model.named_buffers():
        if name.endswith("num_batches_tracked"):  # read in training alone
            state[name] = torch.zeros((), dtype=torch.int64)
    model.load_state_dict(state, assign=True)
    return model.eval()


def part_of(model: ViTResNAS, name: str, kind: type[Part]) -> Part:
    """Return an element's module by its name."""
    found = model.get_submodule(name)
    if not isinstance(found, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, found {type(found).__name__}")
    return found


def intermediates(model: ViTResNAS, images: Tensor) -> dict[str, Tensor]:
    """Return the output of every element by name, `head` (the logits) last."""
    outputs: dict[str, Tensor] = {}
    hooks = [
        model.get_submodule(element.name).register_forward_hook(
            lambda _module, _inputs, output, name=element.name: outputs.__setitem__(name, output)
        )
        for element in elements(model.arch)
    ]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _module(element: Element) -> nn.Module:
    match element:
        case StemElement():
            return Stem(element)
        case BlockElement():
            return TransformerBlock(element)
        case ReductionElement():
            return ResidualReduction(element)
        case HeadElement():
            return Head(element)
