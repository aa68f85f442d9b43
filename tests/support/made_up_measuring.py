"""Reports and runners that were made up, for tests of measuring."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.measurement import HOST, Configuration, Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Reference, Report
from resnas_deploy.runners.base import Runner
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.ort import OrtRunner

MACHINE = Machine("a CPU", 2, "Linux x86_64", "3.11.2")
CALM = Conditions(
    seconds=10.0,
    cores=2,
    own_load=0.5,
    other_load=0.01,
    steal=0.0,
    clock_mhz=None,
    celsius=None,
    throttle_events=None,
    quota_events=None,
    gpu=None,
)
USUAL = Configuration(
    source="folder",
    label="label",
    digest="ab" * 32,
    precision="fp32",
    runner="ort-cpu",
    version="onnxruntime 1.0",
    device="cpu",
    computes="fp32",
    boundary="host to host",
    latency=HOST,
    threads=2,
    batch=1,
    streams=1,
    images=1,
)


def configuration(**changes):
    return replace(USUAL, **changes)


def measurement(samples=((0.1, 0.2),), *, settled=True, failure=None, shares=None, **changes):
    wanted = configuration(**changes)
    return Measurement(wanted, tuple(map(tuple, samples)), 6, settled=settled, failure=failure, shares=shares)


def report(*measurements, reference=None, interrupted=False, machine=MACHINE, name="a workload", conditions=CALM):
    """A report; the reference takes a second a round unless it is given."""
    if reference is None:
        samples = next((item.samples_s for item in measurements if item.samples_s), ())
        reference = tuple(tuple(1.0 for _ in opening) for opening in samples)
    found = tuple(replace(item, figures=item.figured(reference)) if item.samples_s else item for item in measurements)
    return Report(machine, conditions, Reference(name, reference), found, interrupted)


class FakeRunner(Runner):
    """Does what its kind was told to."""

    name, version, device, computes, boundary = "fake", "fake 1.0", "cpu", "fp32", "host to host"
    device_boundary = "device only"

    def __init__(self, kind, options):
        self.kind, self.options = kind, options
        kind.log.append("open")
        kind.call("load")

    def run(self, images):
        self.kind.call("run", len(images))
        return {"logits": np.zeros((len(images), 3), np.float32)}

    def step(self, images):
        batch = len(images)

        def once():
            self.kind.call("step", batch)  # which keeps the runner alive, as a real one's step does

        return once

    def device_step(self, images):
        if self.kind.on_device:
            self.kind.call("device", len(images))
            return lambda: 0.5
        return None

    def profile(self, images, runs):
        self.kind.call("profile", len(images))
        return {"stem.conv": 1.0, "stage1.block1.mlp.fc1.matmul": 3.0}

    def close(self):
        self.kind.log.append("close")


class Fake:
    """What a made-up runtime does: `events[what, batch]`, or `events[what]`, is a list of what its calls raise."""

    def __init__(self, events=None, *, on_device=False):
        self.events, self.on_device = events or {}, on_device
        self.log = []

    def call(self, what, batch=None):
        for key in (what, (what, batch)):
            waiting = self.events.get(key)
            if waiting and (error := waiting.pop(0)):
                raise error

    def kind(self, name="fake"):
        return RunnerKind(
            name,
            "made up",
            module="json",
            install="",
            precisions={"fp32": "fp32"},
            open_network=lambda network, options: FakeRunner(self, options),
            device_problem=lambda device: None,
        )


class Work:
    """A reference workload that does nothing, or raises at a call of that number."""

    name = "nothing"

    def __init__(self, at=None, error=KeyboardInterrupt):
        self.calls, self.at, self.error = 0, at, error

    def step(self):
        self.calls += 1
        if self.calls == self.at:
            raise self.error


def plan(network, *kinds, **changes):
    """A plan of one network on these runners: batch 1 and 2, 4 runs in 2 openings."""
    subjects = tuple(Subject(network, kind) for kind in kinds)
    return Plan(subjects, **{"batches": (1, 2), "runs": 4, "threads": 2, "openings": 2} | changes)


def counted_steps(monkeypatch):
    """What ONNX Runtime's runner was asked to do from now on: the list grows with every step that is run."""
    steps = []

    def counted(self, images, step=OrtRunner.step):
        once = step(self, images)
        return lambda: steps.append(once())

    monkeypatch.setattr(OrtRunner, "step", counted)
    return steps
