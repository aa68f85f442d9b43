"""How long `make setup` takes with uv and with pip: fresh environments, from full caches.

Run on an idle machine, 4 minutes: .venv/bin/python benchmarks/setup_time.py
Writes results/setup-time.json. Both install exactly the files of locks/*.txt. pip compiles each module to bytecode and
uv leaves that to the first import, so uv is timed compiling too. uv links files out of its cache where that is on the
same disk as the environment, and copies them elsewhere. It is run once before, to fill its cache; pip's is filled by
`python3 locks/install.py FOLDER --with pip`, once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from recording import write_result

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "setup-time"
COMPILING = {"UV_COMPILE_BYTECODE": "1"}


def seconds(by: str, more: dict[str, str]) -> float:
    """Return how long it takes to make an environment that was not there."""
    shutil.rmtree(PLACE, ignore_errors=True)
    uv = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, ROOT / "locks" / "install.py", PLACE, "--with", by]
    started = time.monotonic()
    subprocess.run(command, check=True, env=os.environ | {"PATH": uv} | more, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def gigabytes(folder: Path) -> float:
    """Return what `du` says of a folder, in 1e9 bytes."""
    done = subprocess.run(["du", "-s", "--block-size=1", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[0]) / 1e9


def torch() -> str:
    """Return the version of PyTorch that was installed."""
    asked = [PLACE / "bin" / "python", "-c", "import importlib.metadata as m; print(m.version('torch'))"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    seconds("uv", {})  # fills its cache
    found = {"uv": seconds("uv", {}), "uv, compiling": seconds("uv", COMPILING), "pip": seconds("pip", {})}
    size = gigabytes(PLACE)  # of pip's, where no file is shared with a cache
    packages = len(list(PLACE.glob("lib/python*/site-packages/*.dist-info")))
    result = {"seconds": found, "gigabytes": size, "packages": packages, "torch": torch()}
    shutil.rmtree(PLACE)
    for name, value in found.items():
        print(f"{name:14} {value:6.1f} s")
    print(f"{packages} packages, {size:.1f} GB, torch {result['torch']}")
    write_result("setup-time", result)


if __name__ == "__main__":
    main()
