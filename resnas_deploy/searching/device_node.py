"""A node of a Ray cluster that carries a custom resource, as the device that latencies are measured on.

`ray start --resources '{"jetson": 1}'` on the device joins it to the cluster, and `ray:jetson` names it from then on.
The package must be installed there, with the runtime that is measured; torch need not be.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.ray_cluster import ADDRESS, connected, in_a_line

T = TypeVar("T")

_NODE = re.compile(r"ray:(?P<resource>[^@:\s]+)(?:@(?P<address>\S+))?")
_NOT_CUSTOM = re.compile(r"CPU|GPU|memory|object_store_memory|node:.*|accelerator_type:.*")


@dataclass(frozen=True)
class DeviceNode:
    """The one node that has a resource of that name."""

    resource: str
    address: str  # of the cluster; "": in RAY_ADDRESS

    @classmethod
    def parse(cls, on: str) -> DeviceNode:
        """Read `ray:RESOURCE` or `ray:RESOURCE@ADDRESS`. Raise `BadInput`, and `NotAvailable` without Ray."""
        found = _NODE.fullmatch(on)
        if not found:
            raise BadInput(f"`on` must be ray:RESOURCE or ray:RESOURCE@ADDRESS, found {shown(on)}")
        if importlib.util.find_spec("ray") is None:
            raise PackageMissing("`on` ray needs the package ray", "pip install 'ray>=2.40'")
        node = cls(found["resource"], found["address"] or os.environ.get(ADDRESS, "").strip())
        if not node.address:
            raise BadInput(f"`on` must name a cluster, found none; give {on}@ADDRESS, or set {ADDRESS}")
        return node

    def run(self, work: Callable[..., T], *arguments: object, progress: Progress = silent) -> T:
        """Call a function of ours on the node, with the whole node to itself, and return what it returns.

        Function, arguments and result travel as pickles. Raise what it raises of our own errors, and `BadInput`.
        """
        with connected(self.address) as ray:
            node = self._node(ray)
            resources: dict[str, float] = node["Resources"]
            progress(f"measuring on {node['NodeManagerHostname']}, which has {self.resource}")
            strategy = import_quietly("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
            task = ray.remote(
                num_cpus=resources.get("CPU", 0),  # so that nothing else is measured with it
                num_gpus=resources.get("GPU", 0),
                resources={self.resource: resources[self.resource]},
                scheduling_strategy=strategy(node["NodeID"], soft=False),
                max_retries=0,
            )(work)
            with in_a_line(lambda why: f"the node that has {self.resource} must do the work, found: {why}"):
                return ray.get(task.remote(*arguments))  # type: ignore[no-any-return]  # Ray has no types

    def _node(self, ray: Any) -> dict[str, Any]:
        alive = [node for node in ray.nodes() if node["Alive"]]
        found = [node for node in alive if node["Resources"].get(self.resource, 0) > 0]
        if len(found) == 1:
            return found[0]  # type: ignore[no-any-return]  # Ray has no types
        if found:
            raise BadInput(f"`on` must name a resource of one node, found {len(found)} that have {self.resource}")
        known = sorted({name for node in alive for name in node["Resources"] if not _NOT_CUSTOM.fullmatch(name)})
        raise BadInput(
            f"`on` must name a resource that a node of the cluster has, found {self.resource}; "
            f"there are: {', '.join(known) or 'none'}"
        )
