"""A small network and an export request of it, for tests."""

from __future__ import annotations

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.request import Request
from resnas_deploy.runners.registry import RUNNERS

SMALL = ArchSpec(
    (
        Stage(12, (Block(2, 8, 24), Block(3, 8, 16))),
        Stage(20, (Block(1, 12, 40),)),
        Stage(24, (Block(2, 16, 24),)),
    ),
    classes=7,
    image_size=112,
)


def request(tmp_path, **changes):
    """An export to `out` that is verified on ONNX Runtime."""
    usual = {"name": "test", "out": tmp_path / "out", "batch": BatchRange(1, 8), "verify_on": RUNNERS["ort-cpu"]}
    return Request(**usual | {"threads": 2} | changes)
