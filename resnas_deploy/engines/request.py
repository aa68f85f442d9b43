"""What a builder's process is told, as plain data for JSON."""

from __future__ import annotations

from pathlib import Path

from resnas_deploy.engines.options import USER_ALLOCATION, BuildOptions
from resnas_deploy.engines.targets import Target
from resnas_deploy.runners.devices import index


def builder_request(target: Target, model: Path, image: tuple[int, ...], options: BuildOptions) -> dict[str, object]:
    """Return how to build a graph that takes images of those sizes, without their batch. `options` have profiles."""
    return {
        "module": target.module,
        "model": str(model),
        "image": image,
        "profiles": [(profile.least, profile.usual, profile.most) for profile in options.profiles],
        "capabilities": options.capabilities,
        "workspace_bytes": options.workspace,
        "version_compatible": options.version_compatible,
        "tf32": options.tf32,
        USER_ALLOCATION: target.user_allocation,
        "refittable": options.refittable,
        "strip_weights": options.strip_weights,
        "hardware_compatibility": options.hardware_compatibility,
        "sparse_weights": options.sparse_weights,
        "level": options.level,
        "listings": None,
        "timing_cache": str(options.timing_cache) if options.timing_cache else None,
        "gpu": index(options.device) if target.needs_gpu else None,
    }
