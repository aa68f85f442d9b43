"""Fixtures that several tests share. Tests copy what they alter."""

from __future__ import annotations

import os

# PyTorch's threads wait asleep, here and in the processes that tests start: spinning, two of them take the cores from
# each other and from whatever else runs for most of the suite's time. It must be said before PyTorch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["RESNAS_QUIET"] = "1"  # what takes five seconds on a busy machine tells of its progress, or does not
os.environ.pop("PYTHONUNBUFFERED", None)  # users have none, and what a full disk does to their commands depends on it

import gc
import shutil
import signal
import sys
from dataclasses import replace

import pytest
from hypothesis import settings
from support.networks import mini, supernet_mini
from support.portable_tests import is_portable
from support.small_export import SMALL, request
from support.small_reference import make_small

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.roofline import Ceiling, Ceilings, library_versions
from resnas_deploy.processes.quiet import turn_off
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.system import here
from resnas_deploy.weights.checkpoint import save, untrained

# A busy machine fails no test, and neither does a checkout that cannot be written; what failed can be run again.
settings.register_profile("resnas", deadline=None, database=None, print_blob=True)
settings.load_profile("resnas")


def pytest_configure():
    """Let signals reach the tests' processes, which would be ignored where a shell started us in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):  # Windows has none
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    turn_off(os.environ)  # what tests import for themselves reports no more than what the package imports
    os.umask(0o022)  # the usual one, whatever this shell's is: tests say who may read what is written


@pytest.fixture(scope="session", autouse=True)
def own_compiled_code(tmp_path_factory):
    """Keep what PyTorch compiles apart: the usual folder is shared, and a killed process may have spoilt it."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(tmp_path_factory.getbasetemp() / "compiled")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share files out to processes, those that start servers as one: a server sweeps up what a killed one has left."""
    from xdist.scheduler import LoadFileScheduling

    class Files(LoadFileScheduling):
        def _split_scope(self, nodeid):
            return "tests/serving" if nodeid.startswith("tests/serving/") else super()._split_scope(nodeid)

    return Files(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_ignore_collect(collection_path):
    """Look at no other tests on another system, which may lack what those import."""
    if here.NAME != "Linux" and collection_path.suffix == ".py" and not is_portable(collection_path):
        return True
    return None  # whatever else is said of it


def pytest_collection_modifyitems(items):
    """Mark what holds on each system, and begin with what starts servers: at the end the others would wait for it."""
    for item in items:
        if is_portable(item.path):
            item.add_marker(pytest.mark.portable)
    items.sort(key=lambda item: not item.nodeid.startswith("tests/serving/"))


class _Frozen:
    """What was taken out of the garbage collector's sight: at the beginning of which file, of how many modules."""

    file, modules = "", 0


def pytest_runtest_logstart(location):
    """Take what lives when a file begins, and large packages that a test imported, out of the collector's sight.

    Measuring collects garbage before each opening, which takes a third of a second in a process as large as this.
    """
    if location[0] != _Frozen.file or len(sys.modules) > _Frozen.modules + 100:
        _Frozen.file, _Frozen.modules = location[0], len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def mini_checkpoint(tmp_path_factory):
    """The file of a network with the reference's weights: 112 pixels, 10 classes, 1 MB."""
    path = tmp_path_factory.mktemp("checkpoint") / "mini.safetensors"
    save(mini(), path)
    return path


@pytest.fixture(scope="session")
def supernet_checkpoint(tmp_path_factory):
    """The file of the reference's small supernet."""
    path = tmp_path_factory.mktemp("checkpoint") / "super.safetensors"
    save(supernet_mini(), path)
    return path


@pytest.fixture(scope="session")
def mini_artifact(tmp_path_factory):
    """The folder of a verified fp32 artifact of `mini_checkpoint`, batch 1:8. No test may change it."""
    folder = tmp_path_factory.mktemp("artifact") / "mini"
    export(mini, replace(request(folder.parent), name="mini", out=folder), lambda _: None)
    yield folder
    open_artifact(folder)  # which checks the hashes


@pytest.fixture
def artifact_copy(mini_artifact, tmp_path):
    """A copy of `mini_artifact` that a test may alter."""
    return shutil.copytree(mini_artifact, tmp_path / "copy")


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory):
    """A folder for XDG_CACHE_HOME in which this machine's ceilings are there already: nothing measures them."""
    home = tmp_path_factory.mktemp("cache")

    def made(machine, device, precision, threads):
        return Ceiling(machine, device, precision, threads, 1e12, "made up", 1e11, "made up", library_versions(), ())

    for precision in ("fp32", "fp16", "bf16"):
        for threads in {1, 2, usable_cores()}:
            machine = this_machine(usable_cores())
            Ceilings(machine, home / "resnas", made).of("cpu", precision, threads)
    return home


@pytest.fixture
def small_reference(monkeypatch):
    """The reference workload made small, for tests that do not read its time."""
    make_small(monkeypatch.setattr)


@pytest.fixture
def cpu_that_has(monkeypatch):
    """A function that makes this CPU look to us as one for which OpenVINO names these capabilities.

    OpenVINO itself knows better: what it is told to compute in and cannot, it computes in fp32.
    """
    return lambda *names: monkeypatch.setattr("resnas_deploy.runners.devices.capabilities", lambda: set(names))


@pytest.fixture
def few_images(monkeypatch):
    """Accuracy measured on 200 labelled images, for tests to which a tenth of them says enough."""
    monkeypatch.setattr("resnas_deploy.exporting.accuracy.MOST_IMAGES", 200)


@pytest.fixture(scope="session")
def untrained_artifact(tmp_path_factory):
    """A function: the folder of an unverified artifact with random weights, of that precision and batch range."""
    made = {}

    def make(precision="fp32", batch="1:8"):
        if (precision, batch) not in made:
            folder = tmp_path_factory.mktemp("untrained") / "small"
            wanted = request(
                folder.parent, out=folder, precision=precision, batch=BatchRange.parse(batch), verify_on=None
            )
            export(lambda: untrained(SMALL), wanted, lambda _: None)
            made[precision, batch] = folder
        return made[precision, batch]

    return make
