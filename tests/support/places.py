"""Where the project's own files are, for tests and for the processes that they start."""

from __future__ import annotations

import os
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PACKAGE = ROOT / "resnas_deploy"
SUPPORT = TESTS / "support"
GOLDEN = TESTS / "golden"
IMAGES = GOLDEN / "images"
RESULTS = ROOT / "benchmarks" / "results"
EXAMPLE = ROOT / "examples" / "demo"
DEMO = EXAMPLE / "checkpoint.safetensors"
SEARCHED = os.pathsep.join([str(ROOT), str(TESTS)])  # PYTHONPATH of a process that imports the package and `support`
