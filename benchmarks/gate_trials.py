"""Records real reports of an unchanged network, and of a slower one, from which the gate's error rates follow.

Run on an otherwise idle machine: .venv/bin/python benchmarks/gate_trials.py [REPORTS]
Adds to results/gate-sessions.json as many separate reports of each as asked for (8), interleaved, each of a process of
its own, as `resnas gate` measures them; remove the file first on another machine. The slower network is the same with
one more block in its second stage, under the same label. tests/measuring/test_gate_evidence.py replays it all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from recording import RESULTS

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.files.atomic import atomic_file

SESSIONS = 8
RECORDED = RESULTS / "gate-sessions.json"
OPTIONS = ("--runner", "ort-cpu", "--runner", "openvino", "--batch", "1", "--runs", "60", "--openings", "6")
DIGITS = 5


def main() -> None:
    """Export the networks, measure them in fresh processes and write what they measured."""
    resnas = Path(sys.executable).with_name("resnas")
    count = int(sys.argv[1]) if len(sys.argv) > 1 else SESSIONS
    sessions: dict[str, list[object]] = {"sessions": [], "slower": []}
    if RECORDED.exists():
        there = json.loads(RECORDED.read_text(), parse_float=shortened)
        sessions = {name: there.get(name, []) for name in sessions}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "small.json").write_text(json.dumps(with_one_more_block()))  # labelled by the file's name
        for arch, artifact in (("small", "sessions"), ("small.json", "slower")):
            subprocess.run([resnas, "export", "--arch", arch, "--out", artifact], cwd=folder, check=True)
        for number in range(count):
            for artifact, found in sessions.items():
                command = [resnas, "bench", artifact, *OPTIONS, "--out", "session.json", "--force"]
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                text = Path(folder, "session.json").read_text()
                found.append(json.loads(text, parse_float=shortened))
            print(number + 1, "of", count, flush=True)
    with atomic_file(RECORDED) as partial:
        partial.write_text(json.dumps({"schema": 1, **sessions}) + "\n")


def with_one_more_block() -> dict[str, object]:
    """ViT-ResNAS-small whose second stage ends with its last block twice: some 5 per cent more work."""
    data = PUBLISHED["small"].arch.to_json()
    blocks = data["stages"][1]["blocks"]
    blocks.append(blocks[-1])
    return data


def shortened(text: str) -> float:
    """Read a number, and keep a few digits of it."""
    return float(f"{float(text):.{DIGITS}g}")


if __name__ == "__main__":
    main()
