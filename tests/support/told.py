"""Pages that tell a story: their blocks run in order in one folder, and what they print is what the page says.

- A `console` block has commands, each after `$ `, a line that ends in `\\` goes on in the next, and below each what it
  prints. Nothing below a command: it prints what it likes. `..` stands for any text, a line of it for any lines.
  Numbers are any numbers, and runs of spaces are one space: a busy machine changes them. What follows `#` on a
  command's line is for the reader.
- A `python` block runs as a program of its own. Any other block after `<!-- file: NAME -->` is written to NAME.
- `<!-- not run: REASON -->` above a block leaves it out.
- `pip install ..` is not run: what it installs is here.
- A command ends with 0; another code must be asked for by the next command, `echo $?`.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.triton_server import PYTHON as SERVING

_BLOCK = re.compile(r"(?:^<!-- (not run|file): ([^\n]+?) -->\n)?^```(\w+)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NUMBER = r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?%?"
_LONGEST = 300  # seconds of a command, beside whatever else runs


@dataclass(frozen=True)
class Step:
    """A command of a terminal, a program, or a file to write; and the lines that a page says are printed."""

    kind: str  # console, python or file
    text: str
    printed: tuple[str, ...] = ()
    name: str = ""  # of a file


def steps(page: str) -> Iterator[Step]:
    """Yield what a page does, in order. A block that is not run says why."""
    for what, about, language, content in _BLOCK.findall(page):
        if what == "not run":
            continue
        if what == "file":
            yield Step("file", content, name=about)
        elif language == "python":
            yield Step("python", content)
        elif language == "console":
            yield from _commands(content)


def _commands(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.rstrip("\n").split("\n")
        if part.startswith("pip install "):
            continue
        last = next(number for number, line in enumerate(lines) if not line.rstrip().endswith("\\"))
        yield Step("console", "\n".join(lines[: last + 1]), tuple(lines[last + 1 :]))


def pattern(printed: tuple[str, ...]) -> str:
    """Return the regular expression that lines of a page stand for."""
    written = ""
    for line in printed:
        if line.strip() == "..":
            written += r"(?:[^\n]*\n)*?"
            continue
        words = re.split(rf"(\.\.|{_NUMBER}|\s+)", line.strip())
        written += "".join(
            r"[^\n]*?"
            if word == ".."
            else _NUMBER
            if re.fullmatch(_NUMBER, word)
            else r"\s+"
            if word.isspace()
            else re.escape(word)
            for word in words
        )
        written += r"[ \t]*\n"
    return written


def tell(page: Path, folder: Path, most: int | None = None, **environment: str) -> list[str]:
    """Run a page, or its first steps, in an empty folder. Return what it printed; fail where it says something else."""
    place = Path(sys.executable).parent
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "VIRTUAL_ENV")},
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{place}{os.pathsep}{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(folder.parent / "cache"),
    } | environment
    code, told = 0, []
    for step in itertools.islice(steps(page.read_text()), most):
        if step.kind == "file":
            (folder / step.name).parent.mkdir(parents=True, exist_ok=True)
            (folder / step.name).write_text(step.text)
            continue
        asked = step.text.strip() == "echo $?"
        assert asked or code == 0, f"{page.name}: exit {code} of what ran before {step.text!r}\n{told[-1]}"
        if step.kind == "python":
            command = [sys.executable, "-c", step.text]
        else:
            command = ["bash", "-o", "pipefail", "-c", f"(exit {code}); {step.text}" if asked else step.text]
        serves = re.match(r"resnas triton (serve|load)\b", step.text)
        own = environment | ({"PATH": f"{SERVING.parent}{os.pathsep}{environment['PATH']}"} if serves else {})
        done = subprocess.run(
            command, cwd=folder, env=own, capture_output=True, text=True, timeout=_LONGEST, check=False
        )
        code = done.returncode
        said = done.stdout + done.stderr
        told.append(said)
        if step.printed:
            found = any(re.fullmatch(pattern(step.printed), text) for text in (done.stdout, done.stderr, said))
            assert found, f"{page.name}: `{step.text}` printed\n{said}\nand not\n" + "\n".join(step.printed)
    assert code == 0, f"{page.name}: the last command ended with {code}\n{told[-1]}"
    return told
