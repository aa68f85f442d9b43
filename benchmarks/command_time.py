"""Whole commands as people run them: time and memory of a new process, over that of `python -c 'import torch'`.

Run on an idle machine: .venv/bin/python benchmarks/command_time.py [COMMIT]
Writes results/command-time.json; and where the history has the commit, with which each command is interleaved,
results/command-time-before.json. Usually that is the one before exports hashed while writing.

The yardstick is interleaved with the commands, so the ratios hang little on the machine's speed of the moment. Hashing
is the one part that hangs on an instruction set: export is measured once more with OpenSSL told that the CPU has no SHA
extensions (https://docs.openssl.org/3.0/man3/OPENSSL_ia32cap/: bit 29 of the word after the colon, EBX of leaf 7), and
how fast this machine hashes then is recorded, so that it shows whether there was anything to turn off.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
from recording import ratio, write_result

from resnas_deploy.files.workplace import scratch_folder

ROOT = Path(__file__).parents[1]
BEFORE = "5ab40b3"
ROUNDS = 3
_LOOK_S = 0.01
NO_SHA = {"OPENSSL_ia32cap": ":~0x20000000"}
HASHED = 100_000_000  # bytes
HASHING = (
    "import hashlib, time; content = bytes({count}); started = time.process_time(); "
    "hashlib.sha256(content).hexdigest(); print(time.process_time() - started)"
)
DEMO = ROOT / "examples" / "demo"
COMMANDS = {  # {out} is new each time; the artifact `small` is there, and a model repository of it
    "export --arch small": ("export", "--arch", "small", "--out", "{out}"),
    "export --precision int8, the demo network": (
        *("export", "--checkpoint", str(DEMO / "checkpoint.safetensors"), "--precision", "int8", "--out", "{out}"),
    ),
    "inspect small": ("inspect", "small"),
    "predict small, one image": ("predict", "small", str(DEMO / "pictures" / "bag.png")),
    "triton check": ("triton", "check", "{models}"),
    "bench small --runs 1": (
        *("bench", "small", "--runner", "ort-cpu", "--batch", "1", "--runs", "1", "--openings", "1"),
    ),
}
REPOSITORY = ("triton", "export", "small", "--repository")  # made once by each package, for `triton check`
EXPORT, WITHOUT = "export --arch small", "export --arch small, no SHA extensions"


def run(command: Sequence[str], folder: Path, package: Path, changes: Mapping[str, str]) -> dict[str, float]:
    """Run a process with the package of a folder. Return wall and CPU seconds, and the most memory."""
    environment = os.environ | {"PYTHONPATH": str(package), "XDG_CACHE_HOME": str(folder / "cache")} | changes
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr
    with Watched(process.pid) as watched:
        said = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said.decode()[-500:]}")
    return {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": max(1024.0 * usage.ru_maxrss, watched.most),
    }


class Watched:
    """Looks how much memory a process and all that it has started have together, a hundred times a second.

    The kernel keeps the largest of one process alone (getrusage(2)). Pages that two of them share count twice.
    """

    def __init__(self, process: int) -> None:
        self.most = 0.0  # bytes
        self._process, self._over = process, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            pages = 0
            for number in self._family():
                with suppress(OSError):  # it has ended meanwhile
                    pages += int(Path(f"/proc/{number}/statm").read_text().split()[1])
            self.most = max(self.most, float(pages * os.sysconf("SC_PAGE_SIZE")))

    def _family(self) -> set[int]:
        """Return the process and its descendants, whose numbers are higher: numbers are given in turn."""
        family = {self._process}
        for number in sorted(int(name) for name in os.listdir("/proc") if name.isdecimal()):  # noqa: PTH208  once a look
            with suppress(OSError):
                if number > self._process:
                    stat = Path(f"/proc/{number}/stat").read_text()
                    if int(stat.rpartition(")")[2].split()[1]) in family:
                        family.add(number)
        return family


def resnas(name: str, folder: Path, package: Path, number: int) -> dict[str, float]:
    """Run one of the commands."""
    arguments = COMMANDS[EXPORT if name == WITHOUT else name]
    given = [part.format(out=f"out{number}", models=models_of(package)) for part in arguments]
    found = run(["-m", "resnas_deploy", *given], folder, package, NO_SHA if name == WITHOUT else {})
    subprocess.run(["rm", "-rf", str(folder / f"out{number}")], check=True)
    return found


def models_of(package: Path) -> str:
    """Return the name of a package's model repository: each checks its own, which has parts of it inside."""
    return f"models-{package.name}"


def hashing(changes: Mapping[str, str]) -> float:
    """Return seconds of CPU time to hash a gigabyte."""
    command = [sys.executable, "-c", HASHING.format(count=HASHED)]
    took = (subprocess.run(command, env=os.environ | changes, capture_output=True, check=True) for _ in range(3))
    return min(float(one.stdout) for one in took) * 1e9 / HASHED


@contextmanager
def checked_out(commit: str) -> Iterator[Path | None]:
    """Yield a folder with the package as it was, or None where the history has no such commit."""
    git = ["git", "-C", str(ROOT)]
    known = subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True)
    if known.returncode:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        # Not by way of this process: what it takes in memory counts as the least of what it starts (getrusage(2)).
        parts = ["resnas_deploy", "tests/golden/images"]  # which the package's sample images are a link to
        subprocess.run([*git, "archive", "--output", f"{name}/package.tar", commit, *parts], check=True)
        subprocess.run(["tar", "-x", "-C", name, "-f", f"{name}/package.tar"], check=True)
        yield Path(name)


def main() -> None:
    """Measure and write."""
    commit = sys.argv[1] if len(sys.argv) > 1 else BEFORE
    samples: dict[str, dict[str, list[dict[str, float]]]] = {}
    yardstick = []
    with scratch_folder("commands") as folder, checked_out(commit) as old:
        packages = {"now": ROOT} | ({"before": old} if old else {})
        for package in packages.values():  # as installing a package does
            subprocess.run([sys.executable, "-m", "compileall", "-q", package / "resnas_deploy"], check=True)
        run(["-m", "resnas_deploy", "export", "--arch", "small", "--out", "small"], folder, ROOT, {})
        for package in packages.values():
            run(["-m", "resnas_deploy", *REPOSITORY, models_of(package)], folder, package, {})
        for number in range(ROUNDS):
            yardstick.append(run(["-c", "import torch"], folder, ROOT, {}))
            for name in (*COMMANDS, WITHOUT):
                for when, package in packages.items():
                    found = resnas(name, folder, package, number)
                    samples.setdefault(when, {}).setdefault(name, []).append(found)
    speed = {"seconds_per_gigabyte": hashing({}), "without_extensions": hashing(NO_SHA)}
    shared = {
        "rounds": ROUNDS,
        "sha256": speed,
        "yardstick": {"command": "python -c 'import torch'", **over(yardstick)},
    }
    now = {name: over(found) | {"over_yardstick": compared(found, yardstick)} for name, found in samples["now"].items()}
    write_result("command-time", {**shared, "commands": now, "samples": samples["now"], "yardstick_samples": yardstick})
    if not old:
        print(f"not compared with {commit}: the history here does not have it")
        return
    ratios = {name: compared(found, samples["before"][name]) for name, found in samples["now"].items()}
    write_result(
        "command-time-before",
        {
            **shared,
            "commit": commit,
            "commands": {name: over(found) for name, found in samples["before"].items()},
            "now_over_before": ratios,
            "samples": samples,
        },
    )


def over(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the medians."""
    return {key: float(np.median([one[key] for one in found])) for key in found[0]}


def compared(ours: Sequence[Mapping[str, float]], theirs: Sequence[Mapping[str, float]]) -> dict[str, object]:
    """Return the ratios, round by round, of wall time, CPU time and memory."""
    return {key: ratio([one[key] for one in ours], [one[key] for one in theirs]) for key in ours[0]}


if __name__ == "__main__":
    main()
