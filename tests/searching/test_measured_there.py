"""Finalists that a node of a Ray cluster measures, to which their files travel."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.places import SEARCHED
from support.small_search import model_of, write_given

import resnas_deploy as resnas

pytest.importorskip("ray")


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
    few = {"iterations": 1, "first": 4, "children": 2, "parents": 2, "finalists": 2}
    resnas.search(
        **write_given(tmp_path),
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
