"""An export that cannot be finished leaves a repository as it was: on a full disk, a read-only one, or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from support.places import ROOT
from support.repository_findings import findings

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.system import here

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
FULL = """
import json, os, sys
from pathlib import Path
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import ResnasError
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import Batching, ModelSettings

disk, artifact = Path(sys.argv[1]), open_artifact(Path(sys.argv[2]))

def everything():
    return {str(path): path.read_bytes() if path.is_file() else None for path in (disk / "in").rglob("*")}

def export():
    add_model(disk / "in" / "models", artifact, ModelSettings("mini", max_batch=4 - len(said) % 2), ensemble=True)

said = []
(disk / "in").mkdir()
if sys.argv[3] == "again":
    export()
before = everything()
for free in map(int, sys.argv[4:]):
    room = os.statvfs(disk)
    with (disk / "filling").open("wb") as file:
        file.write(bytes(room.f_bavail * room.f_frsize - free))
    try:
        export()
        said.append("done")
        break
    except ResnasError as error:
        said.append(str(error))
    (disk / "filling").unlink()
    assert everything() == before, sorted(set(everything()) ^ set(before))
print(json.dumps(said))
"""


def in_namespace(script, *arguments):
    """Run a Python program where that was mounted first."""
    try:
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this kernel lets nobody mount anything")
    return subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh", sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@AS_ROOT
@pytest.mark.parametrize("is_there", ["first", "again"])
def test_a_full_disk_of_its_own_at_whatever_file_it_is_full(mini_artifact, tmp_path, is_there):
    """The repository is on that disk, and TMPDIR on another one."""
    (tmp_path / "disk").mkdir()
    size = sum(path.stat().st_size for path in mini_artifact.rglob("*") if path.is_file())
    rooms = [0, *range(4096, 100_000, 8192), size // 2, *range(size - 40_960, size + 200_000, 8192), 3 * size]
    done = in_namespace(
        f"mount -t tmpfs -o size={8 * size} tmpfs {tmp_path}/disk",
        *("-c", FULL, tmp_path / "disk", mini_artifact, is_there, *rooms),
    )
    assert done.returncode == 0, done.stderr
    *refused, last = json.loads(done.stdout)
    assert last == "done"
    assert len(refused) > 10
    assert all(f"{tmp_path}/disk" in line and "No space left on device" in line for line in refused), refused
    assert not any(".partial" in line for line in refused), refused


@AS_ROOT
@pytest.mark.slow
def test_a_repository_that_is_a_disk_of_its_own(mini_artifact, tmp_path):
    """A volume of a container: nothing can be moved in from beside it."""
    models = tmp_path / "models"
    models.mkdir()
    export = ["-m", "resnas_deploy", "triton", "export", mini_artifact, "--repository", models, "--ensemble"]
    check = f'"{sys.executable}" -m resnas_deploy triton check {models}'
    done = in_namespace(f"mount -t tmpfs tmpfs {models}", *export)
    assert done.returncode == 0, done.stderr
    done = in_namespace(
        f'mount -t tmpfs tmpfs {models} && "{sys.executable}" {" ".join(map(str, export))} && {check}', *export
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("holds") == 3
    assert f"{models}/mini/2" in done.stdout


@AS_ROOT
@pytest.mark.slow
def test_a_read_only_repository(mini_artifact, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    export = ["-m", "resnas_deploy", "triton", "export", mini_artifact, "--repository"]
    for place in (models, models / "new" / "one"):
        done = in_namespace(f"mount -t tmpfs -o ro tmpfs {models}", *export, place)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert str(place) in line
        assert "Read-only file system" in line


@pytest.mark.parametrize("after", range(4))
def test_an_error_at_any_move_takes_back_the_moves_before(models, mini_artifact, monkeypatch, after):
    """Also in a repository where some of the models are there, with configurations that the export would change."""
    for name in ("mini_jpeg", "mini_preprocess"):
        (models / name).rename(models.parent / name)
    before = {path: path.read_bytes() if path.is_file() else None for path in models.parent.rglob("*")}
    moved = []
    really = here.replace

    def fails_then(partial, path):
        moved.append(path)
        if len(moved) > after:
            raise KeyboardInterrupt
        return really(partial, path)

    monkeypatch.setattr(here, "replace", fails_then)
    with pytest.raises(KeyboardInterrupt) if after < 3 else monkeypatch.context():
        add_model(models, open_artifact(mini_artifact), ModelSettings("mini", max_batch=2), ensemble=True)
    if after < 3:
        assert {path: path.read_bytes() if path.is_file() else None for path in models.parent.rglob("*")} == before
    assert findings(models) == []


def test_a_new_repository_is_gone_again_after_an_error(mini_artifact, tmp_path, monkeypatch):
    monkeypatch.setattr(here, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        add_model(tmp_path / "a" / "b" / "models", open_artifact(mini_artifact), ModelSettings("mini"))
    assert list(tmp_path.iterdir()) == []


STAGED = """
import sys
from pathlib import Path
import resnas_deploy as resnas

def wait(event, arguments):
    if event == "open" and str(arguments[0]).endswith("/images/preprocessing.py") and "w" in (arguments[1] or ""):
        print("written", flush=True)  # all but this one
        sys.stdin.read()

sys.addaudithook(wait)
resnas.triton.export(sys.argv[2], sys.argv[1], ensemble=True)
"""


def test_killed_before_the_first_move_it_has_changed_nothing(mini_artifact, tmp_path):
    """All is written before anything is moved in."""
    models = tmp_path / "models"
    with subprocess.Popen(
        [sys.executable, "-c", STAGED, models, mini_artifact],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert list(models.iterdir()) == []
    add_model(models, open_artifact(mini_artifact), ModelSettings("mini"), ensemble=True)
    assert {path.name for path in tmp_path.iterdir()} == {"models"}
    assert findings(models) == []
