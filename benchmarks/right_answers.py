"""Which images each subnet of a supernet gets right, kept in a file: searches that meet a subnet again share it.

So many searches can be compared in minutes. What a search would have seen is counted as if it had been computed for it.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.accuracy import is_right
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.searching.candidate import subnet_line
from resnas_deploy.searching.decoded import decoded
from resnas_deploy.searching.held_out import in_random_order
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sliced import sliced_logits
from resnas_deploy.weights.checkpoint import Checkpoint

PART = 125  # images that are looked at together
CPU = torch.device("cpu")


class RightAnswers:
    """A context manager: right or wrong for each image, in the order in which a search shows them."""

    def __init__(self, checkpoint: Checkpoint, images: LabelledImages, name: str, path: Path) -> None:
        self._name, self.total = f"{name} {checkpoint.digest}", len(images.labels)
        self._network = TrainedNetwork(checkpoint.arch)
        self._network.load(checkpoint)
        self._network.eval()
        preprocessing = checkpoint.preprocessing
        batches = list(decoded(in_random_order(images), preprocessing, PART))
        with torch.inference_mode():
            pixels = [normalised(item.pixels, preprocessing, CPU) for item in batches]
            whole = (Subnet.whole(checkpoint.arch),)  # of spaces whose subnets share the stem
            self._features = [self._network.features(images, whole) for images in pixels]
        self._labels = [item.labels for item in batches]
        self._store = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._store.execute(
            "CREATE TABLE IF NOT EXISTS answers (name, subnet, part, bits, PRIMARY KEY (name, subnet, part))"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._store.close()

    def of(self, subnet: Subnet, until: int | None = None) -> NDArray[np.bool_]:
        """Return which of all, or of the first `until` images it gets right."""
        line, until = subnet_line(subnet), until or self.total
        query = "SELECT part, bits FROM answers WHERE name = ? AND subnet = ?"
        kept = {part: np.frombuffer(bits, np.bool_) for part, bits in self._store.execute(query, (self._name, line))}
        found = []
        for part in range(-(-until // PART)):
            if part not in kept:
                kept[part] = self._computed(subnet, part)
                row = (self._name, line, part, kept[part].tobytes())
                self._store.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)
            found.append(kept[part])
        return np.concatenate(found)[:until]

    @torch.inference_mode()
    def _computed(self, subnet: Subnet, part: int) -> NDArray[np.bool_]:
        logits = sliced_logits(self._network.body, self._features[part], subnet)
        return np.asarray(is_right(logits, self._labels[part]).numpy())
