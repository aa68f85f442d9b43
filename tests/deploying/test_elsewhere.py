"""A load test by another environment's command: it is heard of while it runs, and ended where it does not end."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from resnas_deploy.api import deploy_actions

SLOW = "import time; print('first', flush=True); time.sleep({}); print('last')"


def test_it_is_heard_of_while_it_runs_and_nothing_that_it_prints_is_lost(monkeypatch):
    monkeypatch.setattr(deploy_actions, "_TOLD_S", 0.1)
    told = []
    done = deploy_actions._run([sys.executable, "-c", SLOW.format(0.5)], lambda: told.append(True))
    assert (done.stdout, done.stderr, done.returncode) == ("first\nlast\n", "", 0)
    assert len(told) > 2


def test_one_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(deploy_actions, "_TOLD_S", 0.1)
    monkeypatch.setattr(deploy_actions, "_MOST_S", 0.3)
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired):
        deploy_actions._run([sys.executable, "-c", SLOW.format(60)], lambda: None)
    assert time.monotonic() - began < 30
