"""The command line, called as the console script calls it, in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

import pytest

from resnas_deploy.cli.app import main

TINY = {
    "stages": [
        {"width": 8, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 16}]},
        {"width": 12, "blocks": [{"heads": 2, "head_dim": 4, "hidden": 16}]},
        {"width": 16, "blocks": [{"heads": 1, "head_dim": 8, "hidden": 24}]},
    ],
    "classes": 5,
    "image_size": 56,
}


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """Stdout as one JSON document; anything else there fails."""
        return json.loads(self.out)


@pytest.fixture
def resnas(tmp_path, monkeypatch, capfd, cache_home, small_reference):
    """A function that runs a command in `tmp_path`, which must succeed unless `code` says otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer replaces it
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))

    def run(*arguments, code=0):
        monkeypatch.setattr(sys, "argv", ["resnas", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert ended.value.code == code, err or out
        return Done(ended.value.code, out, err)

    return run


@pytest.fixture
def refused(resnas, tmp_path):
    """A function that runs a command which must be refused: one line on stderr, nothing on stdout, no file changed."""

    def run(*arguments, code=2):
        before = everything(tmp_path)
        done = resnas(*arguments, code=code)
        assert done.out == ""
        assert done.err.startswith("resnas: ")
        assert done.err.endswith("\n")
        line = done.err.removesuffix("\n")
        assert line.isprintable(), repr(line)
        assert everything(tmp_path) == before
        return line

    return run


@pytest.fixture
def tiny(tmp_path):
    """The name of an architecture's file in `tmp_path`: 56 pixels, 5 classes, exported in a moment."""
    (tmp_path / "tiny.json").write_text(json.dumps(TINY))
    return "tiny.json"


def everything(folder):
    """All names below a folder, hidden ones too, with the content of the files and the links."""
    return {
        str(path.relative_to(folder)): path.readlink()
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else None
        for path in folder.rglob("*")
    }
