"""Records real sessions of unchanged networks, from which the regression gate's error rates follow.

Run on an otherwise idle machine: .venv/bin/python tests/bench/gate_trials.py [SESSIONS]
Writes bench/results/gate-sessions.json: as many separate sessions as asked for (32), each a process of its own, as
`resnas gate` measures them. tests/measuring/test_gate_evidence.py replays the gate on them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from recording import RESULTS

from resnas_deploy.atomic import atomic_file

SESSIONS = 32
OPTIONS = ("--runner", "ort-cpu", "--runner", "openvino", "--batch", "1", "--runs", "60", "--openings", "6")
DIGITS = 5


def main() -> None:
    """Export the networks, run the sessions and write what they measured."""
    resnas = Path(sys.executable).with_name("resnas")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    sessions = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([resnas, "export", "--arch", "small", "--out", "small"], cwd=folder, check=True)
        for number in range(count):
            command = [resnas, "bench", "small", *OPTIONS, "--out", "session.json", "--force"]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            found = Path(folder, "session.json").read_text()
            sessions.append(json.loads(found, parse_float=shortened))
            print(number + 1, "of", count, flush=True)  # noqa: T201  a script
    document = {"schema": 1, "sessions": sessions}
    with atomic_file(RESULTS / "gate-sessions.json") as partial:
        partial.write_text(json.dumps(document) + "\n")


def shortened(text: str) -> float:
    """A number of a few digits."""
    return float(f"{float(text):.{DIGITS}g}")


if __name__ == "__main__":
    main()
