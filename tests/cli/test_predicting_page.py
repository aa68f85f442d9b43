"""`docs/predicting.md`: its Python runs as it stands, and so do its commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import DEMO, ROOT

import resnas_deploy as resnas

PAGE = (ROOT / "docs" / "predicting.md").read_text()


def test_its_python(tmp_path, monkeypatch, capsys):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "predicting.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(list((DEMO.parent / "pictures").glob("*.png")))
    assert "examples/demo/pictures/bag.png bag (8)" in printed
    assert (tmp_path / "classes.csv").read_text().count("\n") == 1 + 5 * len(printed)


@pytest.mark.slow
def test_its_commands(tmp_path):
    (tmp_path / "photos" / "more").mkdir(parents=True)
    picture = (DEMO.parent / "pictures" / "bag.png").read_bytes()
    for name in ("bag.png", "photos/a.jpg", "photos/more/b.jpg"):
        (tmp_path / name).write_bytes(picture)
    (tmp_path / "list.txt").write_text("bag.png\nphotos\n")
    (tmp_path / "yesterday").touch()
    os.utime(tmp_path / "yesterday", (0, 0))
    resnas.export(checkpoint=DEMO, out=tmp_path / "clothes", unverified=True)
    (block,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    commands = [line.removeprefix("$ ") for line in block.splitlines()]
    assert len(commands) == 5
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
    assert (tmp_path / "classes.csv").read_text().splitlines()[1].startswith("photos/a.jpg,1,8,bag,")
    assert (tmp_path / "classes.jsonl").read_text().count("\n") == 3
