"""A network that TensorRT for RTX builds in a second, and what the tests of engines need around it."""

from __future__ import annotations

import importlib.util
import os
import time
from pathlib import Path

import pytest

from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.exporting.export import Request, export
from resnas_deploy.weights.checkpoint import untrained

RTX = TARGETS["tensorrt-rtx"]
needs_builder = pytest.mark.skipif(importlib.util.find_spec(RTX.module) is None, reason=f"{RTX.module} is missing")

LITTLE = ArchSpec(  # an odd number of classes: the builder pads the head's product and cuts it
    (Stage(32, (Block(1, 32, 64),)), Stage(64, (Block(2, 32, 64),)), Stage(64, (Block(2, 32, 128),))),
    classes=5,
    image_size=112,
)


def quiet(_text):
    pass


def exported(out, arch=LITTLE, seed=0, **changes):
    """An unverified artifact for an engine, fp16 and batch 1:8 unless `changes` say otherwise."""
    usual = {"precision": "fp16", "batch": BatchRange(1, 8), "for_engine": True, "verify_on": None}
    wanted = Request("little", Path(out), **usual | {"calibration_images": 4} | changes)
    return export(lambda: untrained(arch, seed=seed), wanted, quiet)


def built(artifact, **options):
    """The engine of an artifact for TensorRT for RTX."""
    return build_engine(artifact, RTX, BuildOptions(**options), quiet)


def processes():
    """Every living process, zombies left out: its number, its parent's and its command line."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if state != "Z":
            found[int(folder.name)] = int(parent), [os.fsdecode(word) for word in command]
    return found


def is_worker(command):
    """Whether a command line is a builder's process."""
    return "resnas_deploy.engines.builder" in command


def worker_of(parent, seconds=300):
    """The number of the builder's process that `parent` started; waits for it."""
    return wait_for(
        lambda: [
            number
            for number, (its_parent, command) in processes().items()
            if its_parent == parent and is_worker(command)
        ],
        seconds,
    )[0]


def wait_for(condition, seconds=300):
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found
