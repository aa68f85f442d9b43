"""The step of the action that exports, measures and compares: `resnas gate`, with its options from the environment.

It ends with 0 whatever the gate found, so that the steps after it comment and upload; the last step ends with the code
that is written here. The runner's variables and files are documented, and what makes a command of a printed line:
https://docs.github.com/en/actions/reference/workflows-and-actions/variables
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
_LAST = 30  # lines of what a command said, where it could not measure


def main(given: Mapping[str, str]) -> int:
    """Run the gate, and leave its outputs for the steps after this one."""
    name = given.get("GATE_NAME") or "latency"
    if not _NAME.fullmatch(name):
        print(f"::error::the input name must be of letters, digits, - and _, found {name!r:.100}")
        return 2
    work = Path(given["RUNNER_TEMP"]) / "resnas-gate" / name
    shutil.rmtree(work, ignore_errors=True)
    folder = work / "report"  # which is uploaded
    folder.mkdir(parents=True)
    code, said = _measured(given, work, folder)
    summary = folder / "summary.md"
    if not summary.exists():
        summary.write_text(_failed(code, said), encoding="utf-8")
    if (history := _path(given, "GATE_HISTORY")) and history.is_file():
        shutil.copyfile(history, folder / "history.jsonl")
    if step_summary := given.get("GITHUB_STEP_SUMMARY"):
        with Path(step_summary).open("a", encoding="utf-8") as file:
            file.write(summary.read_text(encoding="utf-8"))
    with Path(given["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"code={code}\nsummary={summary}\nfolder={folder}\n")
    return 0


def _measured(given: Mapping[str, str], work: Path, folder: Path) -> tuple[int, list[str]]:
    """Export what is to be exported, run the gate, and return its code and what it said."""
    artifacts = [line.strip() for line in given.get("GATE_ARTIFACTS", "").splitlines() if line.strip()]
    source = [*_option("--arch", given.get("GATE_ARCH")), *_option("--checkpoint", given.get("GATE_CHECKPOINT"))]
    if source:
        exported = str(work / "artifact")
        precision = _option("--precision", given.get("GATE_PRECISION"))
        code, said = _run(["export", *source, *precision, "--out", exported], None)
        if code:
            return code, said
        artifacts.append(exported)
    runners = [name.strip() for name in given.get("GATE_RUNNERS", "").split(",") if name.strip()]
    options = [
        *_option("--baseline", given.get("GATE_BASELINE")),
        *(word for name in runners for word in _option("--runner", name)),
        *_option("--batch", given.get("GATE_BATCHES")),
        *_option("--runs", given.get("GATE_RUNS")),
        *_option("--openings", given.get("GATE_OPENINGS")),
        *_option("--device", given.get("GATE_DEVICE")),
        *_option("--threshold", given.get("GATE_THRESHOLD")),
        *(["--accept-different"] if given.get("GATE_ACCEPT_DIFFERENT") == "true" else []),
        *_option("--commit", given.get("GATE_COMMIT")),
        *_option("--branch", given.get("GATE_BRANCH")),
        f"--summary={folder / 'summary.md'}",
        f"--html={folder / 'gate.html'}",
    ]
    if history := _path(given, "GATE_HISTORY"):
        history.parent.mkdir(parents=True, exist_ok=True)
        options.append(f"--history={history}")
    return _run(["gate", *options, "--json", "--", *artifacts], folder / "gate.json")


def _option(name: str, value: str | None) -> list[str]:
    """Return an option with its value as one word, which cannot become another option."""
    return [f"{name}={value.strip()}"] if value and value.strip() else []


def _path(given: Mapping[str, str], name: str) -> Path | None:
    text = given.get(name, "").strip()
    return Path(text).expanduser() if text else None


def _run(words: Sequence[str], document: Path | None) -> tuple[int, list[str]]:
    """Run a command of resnas, show what it says, and keep its document; return its code and what it said."""
    print(" ".join(["resnas", *words]).replace("\n", " "), flush=True)  # in one line: another could be a command
    out = document.open("wb") if document else None
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "resnas_deploy", *words],
            stdout=out,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        ) as running:
            assert running.stderr is not None
            said = []
            for line in running.stderr:
                print(line, end="", flush=True)
                said.append(line.rstrip("\n"))
        return running.returncode if running.returncode >= 0 else 128 - running.returncode, said
    finally:
        if out:
            out.close()


def _failed(code: int, said: Sequence[str]) -> str:
    """Return a summary of what could not be measured. Four blanks make code of a line, whatever stands in it."""
    lines = "\n".join(f"    {line}" for line in said[-_LAST:])
    return f"### Latency: not measured (exit code {code})\n\n{lines}\n"


if __name__ == "__main__":
    sys.exit(main(os.environ))
