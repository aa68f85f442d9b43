"""The loss of training with token labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from resnas_deploy.training.mixing import Mixed
from resnas_deploy.training.network import Logits


def token_label_loss(logits: Logits, mixed: Mixed) -> Tensor:
    """Soft cross-entropy of the class token plus that of the patch tokens, each a mean (arXiv 2109.00642, 3.3)."""
    image = F.cross_entropy(logits.image.float(), mixed.target)
    patches = F.cross_entropy(logits.patches.float().flatten(0, 1), mixed.patch_targets.flatten(0, 1))
    return image + patches
