"""Whether the packages are here that every step needs: asked before anything imports them."""

from __future__ import annotations

from importlib.util import find_spec

from resnas_deploy.errors import PackageMissing


def check_base() -> None:
    """Raise `PackageMissing`, one line, where a package is missing that everything here needs."""
    needed = {"numpy": "numpy", "onnx": "onnx", "ml_dtypes": "ml_dtypes", "safetensors": "safetensors"}
    needed |= {"PIL": "pillow", "scipy": "scipy"}
    if missing := " ".join(package for module, package in needed.items() if find_spec(module) is None):
        raise PackageMissing(f"this needs packages that are not installed: {missing}", f"pip install {missing}")
