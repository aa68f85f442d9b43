"""Runs a builder in a process of its own and brings back the engine, its log, or one line on why there is none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.workplace import scratch_errors
from resnas_deploy.processes.elsewhere import require_linux
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Counted, Progress
from resnas_deploy.system import here

_SHOWN = 300  # characters of a builder's own message
_NO_ATTENTION = "Attention operation was not supported by a dedicated kernel"  # RTX 1.7, some in fp32
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_TELLING = ("ERROR", "INTERNAL_ERROR")  # lines of the log that say why


def compile_engine(request: Mapping[str, object], out: Path, failed_log: Path, progress: Progress) -> str:
    """Build an engine into the file `out` and return the builder's log.

    Raise `BadInput` where it fails or dies, with the builder's own message; the whole log then stays at `failed_log`.
    Ctrl-C ends the builder at once.
    """
    require_linux("building an engine of TensorRT")  # pipes and files are handed over by their descriptors
    # Neither file has a name: nothing is left of them, however this process ends.
    with (
        scratch_errors(),
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        Path(str(request["model"])).open("rb") as graph,
    ):
        with ending_with_us():
            process = subprocess.Popen(
                [sys.executable, "-m", "resnas_deploy.engines.builder", str(log.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                pass_fds=(log.fileno(), graph.fileno()),
                start_new_session=True,  # Ctrl-C is for this process, which ends that one
                env=_environment(request.get("gpu")),
                encoding="utf-8",
            )
        try:
            error = _follow(process, {**request, "model": here.path_of_open(graph.fileno()), "out": str(out)}, progress)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with suppress(BrokenPipeError):  # what a builder that died at once has not read
                        pipe.close()
        log.seek(0)
        said.seek(0)
        content, printed = log.read(), said.read()
        if error is None:
            return content
        kept = f" (the whole log: {failed_log})" if _keep(failed_log, content + printed) else ""
        raise BadInput(f"the engine could not be built: {_reason(error, content, printed)}{_remedy(content)}{kept}")


def _environment(gpu: object) -> Mapping[str, str] | None:
    """Return the environment of a builder that sees one GPU alone, `gpu` of those that this process sees.

    So it is GPU 0 of the builder, which needs no package to choose it and makes no context on another. An entry that
    CUDA does not know ends the list (CUDA C++ Programming Guide, CUDA_VISIBLE_DEVICES): those before it are counted.
    """
    if not isinstance(gpu, int):
        return None
    seen = os.environ.get(_VISIBLE)
    return {**os.environ, _VISIBLE: str(gpu) if seen is None else seen.split(",")[gpu].strip()}


def _follow(process: subprocess.Popen[str], request: Mapping[str, object], progress: Progress) -> str | None:
    """Hand over the request and pass progress on. Return what went wrong, or None."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the builder must be started with pipes")
    try:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died at once; its exit status tells
    for line in process.stdout:
        if not line.endswith("\n"):
            break  # it died while it wrote
        said = json.loads(line)
        if "error" in said:
            return str(said["error"])
        if said.get("built"):
            return None
        steps = f" {said['done']}/{said['of']}" if said.get("of") else ""
        text = f"building the engine: {said['phase'].lower()}{steps}"
        progress(Counted(text, said["done"], said["of"], stage=said["phase"]) if steps else text)
    status = process.wait()
    if status < 0:
        return f"the builder was ended by {signal.Signals(-status).name}"
    return f"the builder stopped with exit status {status}"


def _reason(error: str, log: str, printed: str) -> str:
    """Return the builder's message with the last line that it logged or printed that says why; one line, shortened."""
    told = [
        line.partition(" ")[2] for line in log.splitlines() if line.partition(" ")[0] in _TELLING and error not in line
    ] or [line for line in printed.splitlines() if "Error" in line and error not in line]
    text = f"{error}: {told[-1]}" if told else error
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} .."


def _remedy(log: str) -> str:
    """Return what helps where the builder has no kernel for a graph's Attention operators; else nothing."""
    return "; export it with `spelling` packed+grid, which has none" if _NO_ATTENTION in log else ""


def _keep(path: Path, content: str) -> bool:
    """Keep a log where it was asked for. Return whether that was possible: the error itself matters more."""
    try:
        with atomic_file(path) as partial:
            partial.write_text(content, encoding="utf-8", errors="replace", newline="\n")
    except (BadInput, StorageError):
        return False
    return True
