"""A process that has imported the exporter and forks a child for every line it reads, to be killed at any moment.

Usage: export_children.py ARCH_JSON OUT. Reads a seed, starts a child and answers its process id; reads an empty line,
waits for the child and answers `done`. Until that line the id stays the child's, ended or not.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.weights.checkpoint import untrained


def main() -> None:
    arch = ArchSpec.from_json(json.loads(sys.argv[1]))
    request = Request(
        name="crash",
        precision="fp32",
        batch=BatchRange(1, 8),
        class_names=None,
        out=Path(sys.argv[2]),
        force=True,
        verify_on=None,
        keep_failed=False,
        threads=1,
    )
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            export(lambda seed=int(line): untrained(arch, seed), request, lambda _: None)
            os._exit(0)
        answer(str(pid))
        sys.stdin.readline()
        os.waitpid(pid, 0)
        answer("done")


def answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


main()
