"""Real builds of graphs that take uint8 images."""

from __future__ import annotations

import pytest
from support.little_engine import built, exported, needs_builder

_SLOW = [pytest.param(precision, more, marks=pytest.mark.slow) for precision, more in (("bf16", 0), ("fp32", 1))]


@pytest.mark.slow
@needs_builder
@pytest.mark.parametrize(("precision", "more"), [("fp16", 0), *_SLOW])
def test_there_is_no_kernel_more(tmp_path, precision, more):
    """What casts images anyway reads their bytes, their order and takes the mean off; in fp32 nothing cast them."""
    kernels, made_of = [], []
    for taken in ("float32", "uint8"):
        engine = built(exported(tmp_path / taken, precision=precision, input=taken)).engine
        layers = engine.report["layers"]
        assert layers["fallbacks"] == []
        kernels.append(layers["kernels"])
        made_of.append(engine.made_of)
    assert kernels[1] <= kernels[0] + more
    assert made_of[0]["weights"] == made_of[1]["weights"]
    assert made_of[0]["graph"] != made_of[1]["graph"], "or one engine would be taken for the other"
