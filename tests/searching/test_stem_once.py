"""The stem of the held-out images, computed once for all candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.searching.decoded import HeldOut
from resnas_deploy.searching.scorer import Scorer
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.space_files import packaged_spaces

SPACE = packaged_spaces()["demo"]
SIDE = SPACE.image_size
BATCHES, BATCH = 3, 8
PREPROCESSING = Preprocessing(SIDE, SIDE)
FEATURES = BATCH * SPACE.stem_mid_widths[0] * (SIDE // 2) ** 2 * 4  # bytes of a batch


@pytest.mark.parametrize("room", [0, FEATURES, 2**28])
def test_scores_are_those_of_whole_passes_whatever_is_kept(room):
    supernet, rng = untrained(SPACE.widest().full), np.random.default_rng(0)
    drawn = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8, generator=drawn) for _ in range(BATCHES)]
    network = TrainedNetwork(supernet.arch).eval()
    network.load(supernet)
    subnets = [SPACE.sample(rng) for _ in range(4)]
    whole = (SPACE.widest(),)
    cpu = torch.device("cpu")
    with torch.inference_mode():  # what the widest subnet says is taken for the truth
        labels = [network(normalised(batch, PREPROCESSING, cpu), whole).image.argmax(1) for batch in images]
    scorer = Scorer(supernet, HeldOut(tuple(images), tuple(labels), PREPROCESSING), cpu, room)
    counted = []
    scorer._network.body.get_submodule("stem.conv1").register_forward_hook(lambda *_: counted.append(1))
    for subnet in subnets:
        with torch.inference_mode():
            said = [network(normalised(batch, PREPROCESSING, cpu), (subnet,)).image.argmax(1) for batch in images]
        right = sum(int((own == truth).sum()) for own, truth in zip(said, labels, strict=True))
        assert (scorer.score(subnet).correct, scorer.score(subnet).seen) == (right, BATCHES * BATCH)
    kept = min(BATCHES, room // FEATURES)
    assert len(counted) == kept + (BATCHES - kept) * 2 * len(subnets)


NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU is here")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
def test_passes_are_in_fp32_on_a_cpu_and_in_fp16_on_a_gpu(device):
    supernet = untrained(SPACE.widest().full)
    pixels = torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    scorer = Scorer(supernet, HeldOut((pixels,), (torch.zeros(BATCH).long(),), PREPROCESSING), torch.device(device))
    dtypes = set()
    scorer._network.body.get_submodule("stem.conv3").register_forward_hook(lambda *found: dtypes.add(found[2].dtype))
    assert scorer.score(SPACE.widest()).seen == BATCH
    assert dtypes == {torch.float16 if device == "cuda" else torch.float32}
