"""The paper's comparison on this machine: all networks on ONNX Runtime and OpenVINO, fp32 and int8, batch 1 and 16.

    python benchmarks/tradeoff.py

Everything with all cores, 3 runs in 3 openings: about a quarter of an hour on an idle machine of two cores, and some
minutes more where build/tradeoff/graphs is not there yet. build/tradeoff keeps graphs, page and what is done: the same
call goes on where one was stopped, and begins anew where it was whole. Writes benchmarks/results/tradeoff.json, from
which `make docs` draws docs/tradeoff.svg.
"""

from __future__ import annotations

import sys
import time

from tabulated import RESULTS, ROOT

import resnas_deploy as resnas
from resnas_deploy.measuring.tradeoff.measuring import DOCUMENT, GRAPHS
from resnas_deploy.measuring.tradeoff.result import read_tradeoff

OUT = ROOT / "build" / "tradeoff"
ASKED = {
    "runners": ["ort-cpu", "openvino"],
    "precisions": ["fp32", "int8"],
    "batches": [1, 16],
    "runs": 3,
    "openings": 3,
}


def main() -> None:
    """Measure what is missing, and write the result file."""
    document = OUT / DOCUMENT
    goes_on = document.is_file() and not read_tradeoff(document).is_complete
    if OUT.is_dir() and not goes_on:
        for drawn in (each for each in OUT.iterdir() if each.name != GRAPHS):
            drawn.unlink()
    began = time.monotonic()

    def told(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    found = resnas.tradeoff(OUT, **ASKED, progress=told)
    if found.interrupted:
        sys.exit("interrupted: the same call goes on")
    found.measured.write(RESULTS / "tradeoff.json")
    print(f"{len(found.measured.points)} figures in {(time.monotonic() - began) / 60:.1f} minutes")
    for note in found.notes():
        print(note)


if __name__ == "__main__":
    main()
