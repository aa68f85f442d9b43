"""`resnas` in processes of its own, with the little space known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from support.places import SEARCHED, SUPPORT

ENVIRONMENT = os.environ | {"PYTHONPATH": SEARCHED, "OMP_NUM_THREADS": "1"}


def resnas(*arguments, processes=1):
    """What the command prints; several processes are torchrun's."""
    done = subprocess.run(_command(arguments, processes), env=ENVIRONMENT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def killed_after(seconds, *arguments):
    """Kill the command after so many seconds; returns whether it was still running."""
    with subprocess.Popen(
        _command(arguments, 1), env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            return True
    assert process.returncode == 0
    return False


def interrupted(appears, *arguments):
    """Press Ctrl-C once the file `appears` is there; returns the lines on stderr."""
    with subprocess.Popen(_command(arguments, 1), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not appears.exists():
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        lines = process.communicate(timeout=300)[1].splitlines()
    assert process.returncode == 130
    return lines


def _command(arguments, processes):
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    return [sys.executable, *launch, str(SUPPORT / "small_data.py"), *map(str, arguments)]
