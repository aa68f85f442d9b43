"""The C++ compiler that PyTorch's compiled ways need."""

from __future__ import annotations

import importlib.util
import os
import shutil

from resnas_deploy.runners.base import CUDA


def compiler_problem(device: str) -> str | None:
    """Why PyTorch's compiler cannot be used here, or None. For a GPU, what calls the kernels is compiled C++ too."""
    compiler = os.environ.get("CXX") or "g++"  # as torch._inductor chooses
    if shutil.which(compiler) is None:
        return f"PyTorch compiles with {compiler}, and that was not found (apt-get install g++, or name another in CXX)"
    if device.startswith(CUDA) and importlib.util.find_spec("triton") is None:
        return "PyTorch compiles for a GPU with the package triton, and that is not installed (pip install triton)"
    return None
