"""Finalists that a node of a Ray cluster measures, to which their files travel."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from support.mini_space import measured, truth
from support.places import SEARCHED
from support.small_data import SPACE, write_folder

import resnas_deploy as resnas
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import PROFILE, regression_of, subnets
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.weights.checkpoint import Task, save, untrained

pytest.importorskip("ray")


def model_of(anchor_ms: float) -> LatencyModel:
    """A latency model of this machine by which everything is quick."""
    setup = choose_setup("ort-cpu", "fp32", 1, 1, "")
    regression = regression_of(measured(subnets(SPACE, PROFILE, 60), truth(SPACE)))
    return LatencyModel(SPACE, setup, setup.setting(), replace(regression, anchor_ms=anchor_ms))


PROGRAM = """
import sys
from ray.cluster_utils import Cluster
from resnas_deploy.errors import ResnasError
import resnas_deploy as resnas

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1, resources={"pi": 1})
found = sys.argv[1]
for force in (False, False, True):
    measured = resnas.search.measure(found, force=force, on=f"ray:pi@{cluster.address}")
    print([item.measured_ms for item in measured.finalists], flush=True)
print(resnas.search.finish(found).best.artifact.source, flush=True)
cluster.shutdown()
"""


@pytest.mark.slow
def test_the_finalists_travel_to_the_node_and_the_figures_come_back(tmp_path, small_reference):
    task = Task(("blue", "green", "red"), Preprocessing(SPACE.image_size, SPACE.image_size), held_out=2)
    save(replace(untrained(SPACE.widest().full), task=task, space=SPACE), tmp_path / "supernet.safetensors")
    few = {"iterations": 1, "first": 4, "children": 2, "parents": 2, "finalists": 2}
    resnas.search(
        tmp_path / "supernet.safetensors",
        data=write_folder(tmp_path / "data"),
        max_latency="90%",
        model=model_of(1e6),
        out=tmp_path / "found",
        **few,
    )
    (tmp_path / "found" / "measured.json").unlink()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "found")],
        env=os.environ | {"PYTHONPATH": SEARCHED},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, same, again, best = done.stdout.splitlines()
    assert "None" not in first
    assert first == same != again
    assert best.startswith(str(tmp_path / "found" / "finalists" / "finalist"))
