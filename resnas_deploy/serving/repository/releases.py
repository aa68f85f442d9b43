"""What NVIDIA's Triton images of a release (tritonserver:YY.MM-py3) have in them.

ONNX Runtime: "Release Compatibility Matrix" in docs/introduction/compatibility.md of triton-inference-server/server.
TensorRT: the "Container Versions" tables of Triton's release notes, in the copy ngc_matrix.conf of
X-Square-Robot/Qwen3TTS-Streaming up to 26.05; what users of the images report for 25.07 and from 26.06 on. Sources
contradict each other on 24.12, so it is left out. `dpkg -l tensorrt-dev` in the image tells for certain.
"""

from __future__ import annotations

import re

from resnas_deploy.errors import BadInput, shown

# A line for each release: ONNX Runtime, and TensorRT as far as engines depend on it.
_TABLE = """
24.10 1.19.2 10.5.0
24.11 1.19.2 10.6.0
24.12 1.20.1 -
25.01 1.20.1 10.8.0
25.02 1.20.1 10.8.0
25.03 1.21.0 10.9.0
25.04 1.21.0 10.9.0
25.05 1.22.0 10.10.0
25.06 1.22.0 10.11.0
25.07 1.22.0 10.11.0
25.08 1.23.0 10.13.2
25.09 1.23.0 10.13.3
25.10 1.23.1 10.13.3
25.11 1.23.2 10.14.1
25.12 1.23.2 10.14.1
26.01 1.23.2 10.14.1
26.02 1.24.1 10.15.1
26.03 1.24.2 10.16.0
26.04 1.24.4 10.16.1
26.05 1.24.4 10.16.1
26.06 1.24.4 11.0.0
26.07 1.27.0 11.1.0
26.08 1.28.0 11.2.1
"""
_PACKAGES = {line.split()[0]: line.split()[1:] for line in _TABLE.splitlines() if line}


def onnxruntime_of(release: str) -> str:
    """Return the version of ONNX Runtime in a release. Raise `BadInput` for a release that is not known."""
    return _version(release, 0, "ONNX Runtime")


def tensorrt_of(release: str) -> str:
    """Return the version of TensorRT in a release. Raise `BadInput` for a release that is not known."""
    return _version(release, 1, "TensorRT")


def _version(release: str, column: int, package: str) -> str:
    known = {each: versions[column] for each, versions in _PACKAGES.items() if versions[column] != "-"}
    if release not in known:
        raise BadInput(
            f"a Triton release must be one whose {package} is known ({', '.join(known)}), found {shown(release)}"
        )
    return known[release]


SAFE_SINCE = "26.07"
"""The first release without a hole that NVIDIA has published, as of its bulletin of September 2026 (5875). Others, in
https://github.com/NVIDIA/product-security: 5687 (August 2025: code execution through HTTP, CVE-2025-23310, -23311 and
-23317, and the Python backend's memory, CVE-2025-23318, -23319, -23320, -23334; 25.07), 5816 (26.02), 5828 (May 2026:
authentication passed by, CVE-2026-24206 and -24207; 26.03), 5848 (26.04), 5853 (26.05), 5865
(26.06)."""


def is_safe(release: str) -> bool:
    """Return whether a release, such as 26.08, has no published hole; one that is not known may have any."""
    return re.fullmatch(r"[0-9]{2}\.[0-9]{2}", release) is not None and release >= SAFE_SINCE
