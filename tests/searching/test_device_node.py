"""A node of a Ray cluster that carries a custom resource as the device: parsing, refusals, and a real cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.checks import refusal
from support.places import TESTS

from resnas_deploy.searching.device_node import DeviceNode

pytest.importorskip("ray")


def test_a_node_is_named_by_its_resource_and_its_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert DeviceNode.parse("ray:jetson@10.0.0.1:6379") == DeviceNode("jetson", "10.0.0.1:6379")
    assert "`on` must name a cluster, found none; give ray:jetson@ADDRESS" in refusal(
        lambda: DeviceNode.parse("ray:jetson")
    )
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert DeviceNode.parse("ray:jetson") == DeviceNode("jetson", "head:6379")
    assert DeviceNode.parse("ray:jetson@other:1").address == "other:1"


@pytest.mark.parametrize("on", ["ray", "ray:", "jetson", "ray:@x", "ray:a b", "torch:jetson", "ray:jetson@"])
def test_what_names_no_node(on):
    assert "`on` must be ray:RESOURCE or ray:RESOURCE@ADDRESS, found" in refusal(lambda: DeviceNode.parse(on))


PROGRAM = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from ray.cluster_utils import Cluster
from support.mini_space import MINI
from resnas_deploy.errors import ResnasError
import resnas_deploy as resnas
from resnas_deploy.searching.device_node import DeviceNode

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
cluster.add_node(num_cpus=1, resources={"jetson": 1})
cluster.add_node(num_cpus=1, resources={"twice": 1})
cluster.add_node(num_cpus=1, resources={"twice": 1})

def refused(on, **options):
    try:
        resnas.latency.profile(MINI, on=f"{on}@{cluster.address}", store="here.sqlite", **options)
    except ResnasError as error:
        print(error, flush=True)

refused("ray:nano")
refused("ray:twice")
refused("ray:jetson", runner="tensorrt")
refused("ray:jetson", networks=3)
found = resnas.latency.profile(
    MINI, runner="ort-cpu", threads=1, networks=42, on=f"ray:jetson@{cluster.address}", store="here.sqlite"
)
print(found.regression.networks, found.measured_now, flush=True)
print(resnas.latency.machines(store="here.sqlite").profiles[0].networks, flush=True)
again = resnas.latency.profile(
    MINI, runner="ort-cpu", threads=1, networks=42, on=f"ray:jetson@{cluster.address}", store="other.sqlite"
)
print(again.regression == found.regression, again.measured_now, flush=True)
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_profile_on_the_node_of_a_cluster_that_has_the_resource(tmp_path):
    """Measured there and kept in its user's own store; what comes back is kept here, the second time nothing is run."""
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(TESTS)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    nano, twice, tensorrt, few, *found = done.stdout.splitlines()
    assert nano == "`on` must name a resource that a node of the cluster has, found nano; there are: jetson, twice"
    assert twice == "`on` must name a resource of one node, found 2 that have twice"
    assert "the runner tensorrt is not available here" in tensorrt
    assert "`networks` must be 42 or more" in few
    assert found == ["42 42", "42", "True 0"]
    assert (tmp_path / "data" / "resnas" / "latency.sqlite").is_file()
