"""What OpenVINO compiled is kept by several processes at once, and by one that is killed: the next opens right."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.engines.store import open_engine
from resnas_deploy.images.samples import noise
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS

pytest.importorskip("openvino", reason="openvino is missing")

# Opens the engine once it is told to, and writes its logits. The last argument is how large a file it may write.
OPENING = """
import pathlib, resource, signal, sys
import numpy
from resnas_deploy.engines.finding import open_source
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
engine, images, out, most = sys.argv[1:]
artifact, engine = open_source(pathlib.Path(engine))
import_quietly("openvino")
print("ready", flush=True)
sys.stdin.readline()
if int(most):
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # which Python ignores: the kernel then kills who writes more
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
with RUNNERS["openvino"].open(artifact, Options(1, engine=engine, at_once=True)) as runner:
    numpy.save(out, runner.run(numpy.load(images))["logits"])
"""


@pytest.fixture
def artifact(with_ir, tmp_path):
    return open_artifact(shutil.copytree(with_ir.folder, tmp_path / "little"))


@pytest.fixture
def engine(artifact):
    (path,) = (artifact.folder / "engines").glob("*.xml")
    return open_engine(path)


@pytest.fixture
def images(artifact, tmp_path):
    found = noise(2, artifact.image_size)
    np.save(tmp_path / "images.npy", found)
    return found


def opening(engine, tmp_path, name, most=0):
    """A process that is ready to open the engine."""
    process = subprocess.Popen(
        [sys.executable, "-c", OPENING, engine.path, tmp_path / "images.npy", tmp_path / name, str(most)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def logits(artifact, images, engine):
    with RUNNERS["openvino"].open(artifact, Options(1, engine=engine, at_once=True)) as runner:
        return runner.run(images)[OUTPUT]


def left(engine):
    """What lies beside the engine but its own three files."""
    own = {f"{engine.path.stem}{suffix}" for suffix in (".xml", ".bin", ".json")}
    return sorted(path.name for path in engine.path.parent.iterdir() if path.name not in own)


def assert_opens(artifact, images, engine, caplog):
    """It gives the right logits from what is kept, or keeps it now; the second time nothing is written or said."""
    wanted = logits(artifact, images, None)
    caplog.clear()
    assert np.array_equal(logits(artifact, images, engine), wanted)
    assert not caplog.messages  # nothing that is not whole was found
    (kept,) = left(engine)
    assert kept.endswith(".blob")
    written = (engine.path.parent / kept).stat().st_mtime_ns
    assert np.array_equal(logits(artifact, images, engine), wanted)
    assert (engine.path.parent / kept).stat().st_mtime_ns == written


def test_two_at_once_on_a_cold_cache(artifact, images, engine, tmp_path, caplog):
    together = [opening(engine, tmp_path, f"{number}.npy") for number in range(2)]
    for process in together:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in together:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        assert "is not used" not in said
    first, second = (np.load(tmp_path / f"{number}.npy") for number in range(2))
    assert np.array_equal(first, second)
    assert_opens(artifact, images, engine, caplog)


def test_one_that_is_killed_amid_its_writing(artifact, images, engine, tmp_path, caplog):
    process = opening(engine, tmp_path, "killed.npy", most=100_000)
    process.communicate("go\n", timeout=300)
    assert process.returncode == -signal.SIGXFSZ
    (partial,) = left(engine)
    assert partial.endswith(".partial")
    (half,) = (path for path in (engine.path.parent / partial).iterdir() if path.suffix == ".blob")
    assert half.stat().st_size == 100_000
    assert_opens(artifact, images, engine, caplog)  # which removes what was left


@pytest.mark.slow
def test_kill_at_any_moment(artifact, images, engine, tmp_path, caplog):
    """By SIGKILL, while another process opens it too."""
    caught = 0
    for number in range(6):
        for name in left(engine):
            if name.endswith(".blob"):
                (engine.path.parent / name).unlink()
        both = [opening(engine, tmp_path, f"{which}.npy") for which in range(2)]
        for process in both:
            process.stdin.write("go\n")
            process.stdin.flush()
        if number % 2:
            while not (begun := [name for name in left(engine) if name.endswith(".partial")]):
                if any(process.poll() is not None for process in both):
                    break
            caught += bool(begun)
        else:
            time.sleep(0.05 * number)
        os.kill(both[0].pid, signal.SIGKILL)
        _, said = both[1].communicate(timeout=300)
        both[0].communicate(timeout=300)
        assert both[1].returncode == 0, said
        assert "is not used" not in said
    assert caught, "no kill came while something was written"
    assert_opens(artifact, images, engine, caplog)
