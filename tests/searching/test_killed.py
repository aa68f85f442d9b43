"""A search whose process is killed goes on to the same winner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support.places import SEARCHED

PROGRAM = """
import os, signal, sys
from pathlib import Path
from support.wide_search import Wide, search, searched
class Killed(Wide):
    def scores(self, subnets, target, *told):
        if len(self.asked) >= int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().scores(subnets, target, *told)
found = searched(Path(sys.argv[1]), search(predictor=sys.argv[3] == "predictor"), Killed())
print([(item.score.correct, item.iteration) for item in found.best])
"""


def searching(path, kill_after, way):
    command = [sys.executable, "-c", PROGRAM, str(path), str(kill_after), way]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": SEARCHED}, capture_output=True, text=True, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["plain", "predictor"])
def test_a_killed_search_goes_on_to_the_same_winner(tmp_path, way):
    whole = searching(tmp_path / "whole.sqlite", 10**9, way)
    assert whole.returncode == 0, whole.stderr
    for after in (5, 8, 1):
        assert searching(tmp_path / "cut.sqlite", after, way).returncode == -signal.SIGKILL
    done = searching(tmp_path / "cut.sqlite", 10**9, way)
    assert done.returncode == 0, done.stderr
    assert done.stdout == whole.stdout
