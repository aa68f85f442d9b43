"""An engine's report, whole, as `resnas build` writes one."""

from __future__ import annotations

IDENTITY = {
    "schema": 1,
    "arch": "0" * 16,
    "weights": "0" * 64,
    "graph": "1" * 64,
    "precision": "fp32",
    "target": "tensorrt",
    "builder": "tensorrt 11.2.1.2",
    "device": "",
    "profiles": ["1:4:8"],
    "capabilities": "portable",
    "workspace_bytes": None,
    "version_compatible": False,
}
PART = {
    "element": "stem",
    "kind": "stem",
    "kernels": 3,
    "shared": 0,
    "precisions": ["fp32"],
    "fused_attention": None,
    "names": ["stem.conv1"],
}
LAYERS = {"kernels": 3, "kinds": {"gemm": 3}, "precisions": {"fp32": 3}, "parts": [PART], "fallbacks": []}
