"""A network that TensorRT for RTX builds in a second, and what the tests of engines need around it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.progress import silent
from resnas_deploy.weights.checkpoint import untrained

RTX, TENSORRT = TARGETS["tensorrt-rtx"], TARGETS["tensorrt"]
needs_builder = pytest.mark.skipif(importlib.util.find_spec(RTX.module) is None, reason=f"{RTX.module} is missing")

LITTLE = ArchSpec(  # an odd number of classes: the builder pads the head's product and cuts it
    (Stage(32, (Block(1, 32, 64),)), Stage(64, (Block(2, 32, 64),)), Stage(64, (Block(2, 32, 128),))),
    classes=5,
    image_size=112,
)


def exported(out, arch=LITTLE, seed=0, **changes):
    """An unverified artifact for an engine, fp16 and batch 1:8 unless `changes` say otherwise."""
    usual = {"precision": "fp16", "batch": BatchRange(1, 8), "for_engine": True, "verify_on": None}
    wanted = Request("little", Path(out), **usual | {"calibration_images": 4} | changes)
    return export(lambda: untrained(arch, seed=seed), wanted, silent)


def built(artifact, **options):
    """The engine of an artifact for TensorRT for RTX."""
    return build_engine(artifact, RTX, BuildOptions(**options), silent)
