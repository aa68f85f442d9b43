"""The most memory that a command has, with all that it starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# In a process between: what a process takes counts as the least of what it starts (getrusage(2), fork(2)), and that of
# tests is large. Pages that two processes share count twice.
_PROGRAM = """
import json, os, sys, time

def family(first):
    found = {first}
    for number in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):
        try:
            stat = open(f"/proc/{number}/stat").read().rpartition(")")[2].split() if number > first else []
            found |= {number} if stat and int(stat[1]) in found else set()
        except OSError:
            pass
    return found

def pages(number):
    try:
        return int(open(f"/proc/{number}/statm").read().split()[1])
    except OSError:
        return 0

started, most = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0
while True:
    ended, status, usage = os.wait4(started, os.WNOHANG)
    if ended:
        break
    most = max(most, sum(map(pages, family(started))) * os.sysconf("SC_PAGE_SIZE"))
    time.sleep(0.005)
print(json.dumps([status, max(most, 1024 * usage.ru_maxrss)]))
"""


def peak_of(folder: Path, *arguments: str) -> int:
    """Return the bytes of `resnas` with these arguments, run in a folder."""
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, sys.executable, "-m", "resnas_deploy", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300)
    status, peak = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    return int(peak)
