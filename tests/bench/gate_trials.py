"""Records real sessions of unchanged networks, from which the regression gate's error rates follow.

Run on an otherwise idle machine: .venv/bin/python tests/bench/gate_trials.py [SESSIONS]
Writes bench/results/gate-sessions.json: as many separate sessions as asked for (40), each a process of its own, as
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

SESSIONS = 40
MEASURED = (("small", "ort-cpu"), ("tiny", "openvino"))
DIGITS = 5


def main() -> None:
    """Export the networks, run the sessions and write what they measured."""
    resnas = Path(sys.executable).with_name("resnas")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    sessions = []
    with tempfile.TemporaryDirectory() as folder:
        for arch, _ in MEASURED:
            subprocess.run([resnas, "export", "--arch", arch, "--out", f"{folder}/{arch}", "--unverified"], check=True)
        for number in range(count):
            sessions.append(session(resnas, Path(folder)))
            print(number + 1, "of", count, flush=True)  # noqa: T201  a script
    document = {"schema": 1, "sessions": sessions}
    with atomic_file(RESULTS / "gate-sessions.json") as partial:
        partial.write_text(json.dumps(document) + "\n")


def session(resnas: Path, folder: Path) -> dict[str, object]:
    """What one process measured, with samples of a few digits."""
    found = folder / "session.json"
    subprocess.run(
        [resnas, "bench", *(folder / arch for arch, _ in MEASURED), "--runner", "ort-cpu", "--runner", "openvino"]
        + ["--batch", "1", "--runs", "60", "--openings", "6", "--out", found],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return json.loads(found.read_text(), parse_float=lambda text: float(f"{float(text):.{DIGITS}g}"))


if __name__ == "__main__":
    main()
