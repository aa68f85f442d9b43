"""Levels of pixels to normalised images, as a layer before the network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnas_deploy.images.preprocessing import Preprocessing


class Normalising(nn.Module):
    """Levels `(B, S, S, 3)`, uint8, to normalised images `(B, 3, S, S)`, float32: (u/255 - mean)/std, as `preprocess`.

    The constants are tensors: by a number, CUDA multiplies with its reciprocal where this divides.
    """

    most: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.register_buffer("most", torch.full((), 255.0), persistent=False)
        for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32)[:, None, None], persistent=False)

    def forward(self, levels: Tensor) -> Tensor:
        images = levels.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return (images / self.most - self.mean) / self.std
