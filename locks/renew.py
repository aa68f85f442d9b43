"""Write the locks of the environments that `make` sets up: every package, for every system, with its files' hashes.

Run by `make locks`, with uv; what is locked stays where it fits pyproject.toml, and `make locks UPGRADE=--upgrade`
takes the newest of everything. The locks name no index: hashes say which files, and whoever installs says from where.

    main.txt           the extras that `make` uses, without PyTorch
    torch-cpu.txt      PyTorch's build for CPUs, which some indexes have
    torch.txt          the one of the Python Package Index, which on Linux needs CUDA's libraries: several GB
    serving.txt        the Triton server, whose Python backend was built for NumPy 1
    perf-analyzer.txt  a program that came with tritonclient up to 2.51; a test compares our load test with it
    build.txt          what builds packages, first of all
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

LOCKS = Path(__file__).parent
ROOT = LOCKS.parent
PYTHON = "3.11.0"  # the oldest
EXTRAS = ("cpu", "openvino", "nncf", "train", "search", "peers", "plot", "rtx", "sbom", "sign", "docs", "dev")
# The version is held.txt's. The Python Package Index does not have it; this is the hash of
# torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl.
TORCH_CPU = "torch==2.13.0+cpu --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b\n"
_ENTRY = re.compile(r"^\S+==[^\n]*(?:\n    --hash[^\n]*)*\n", re.MULTILINE)
_OF_TORCH = re.compile(r"torch==|nvidia-(?!ml-py)|cuda-toolkit==")


def compiled(name: str, wanted: list[str], options: list[str], upgrade: list[str]) -> str:
    """Return a lock's text: the last one's versions where they fit, but with `--upgrade`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, name)
        out.write_text("".join(path.read_text().replace("===", "==") for path in former(name) if path.exists()))
        command = ["uv", "pip", "compile", "--quiet", "--no-config", "--universal", "--python-version", PYTHON]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(out)]
        subprocess.run([*command, *upgrade, *options, *wanted], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        return out.read_text()


def former(name: str) -> list[Path]:
    """Return the files with the versions that a lock has so far."""
    return [LOCKS / name, *([LOCKS / "torch.txt"] if name == "main.txt" else [])]


def parted(text: str) -> tuple[str, str]:
    """Return the entries of all else, and of PyTorch with CUDA's libraries.

    Of PyTorch exactly that version: `==` is content with a build for CPUs, whose file is another.
    """
    entries = _ENTRY.findall(text)
    torch = [entry.replace("torch==", "torch===") for entry in entries if _OF_TORCH.match(entry)]
    return "".join(entry for entry in entries if not _OF_TORCH.match(entry)), "".join(torch)


def main() -> None:
    """Write all of them, when each is resolved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_const", const=["--upgrade"], default=[])
    upgrade = parser.parse_args().upgrade
    extras = [f"--extra={extra}" for extra in EXTRAS]
    main, torch = parted(compiled("main.txt", ["pyproject.toml"], [*extras, "--constraint=locks/held.txt"], upgrade))
    written = {"main.txt": main, "torch.txt": torch, "torch-cpu.txt": TORCH_CPU}
    written["serving.txt"] = compiled("serving.txt", ["pyproject.toml", "locks/serving.in"], ["--extra=serve"], upgrade)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "wanted.in")
        wanted.write_text("tritonclient==2.51.0\n")
        written["perf-analyzer.txt"] = compiled("perf-analyzer.txt", [str(wanted)], ["--no-deps"], upgrade)
    written["build.txt"] = compiled("build.txt", ["locks/build.in"], [], upgrade)
    for name, text in written.items():
        (LOCKS / name).write_text(f"# Written by `make locks`; locks/renew.py says how.\n{text}")


if __name__ == "__main__":
    main()
