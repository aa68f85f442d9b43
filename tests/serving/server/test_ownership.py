"""Whose files are these: decided by locks that the kernel lets go of, never by the number of a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.places import ROOT
from support.processes import wait_for
from support.triton_server import folders, leftovers, needs_server, started_server
from tritonclient import grpc

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.serving.server.ownership import owning, remove_abandoned_locks

OWNER = """
import subprocess, sys, time
from pathlib import Path
from resnas_deploy.serving.server.ownership import owning
places = [Path(each) for each in sys.argv[2:]]
with owning(places) as owned:
    for place in places:
        (place / owned.name).mkdir()
        (place / owned.name / "file").write_text("a file")
        (place / f"{owned.name}_region").write_text("a region")
    child = None
    if sys.argv[1] == "child":
        child = subprocess.Popen(["sleep", "100"], pass_fds=owned.descriptors, stdout=subprocess.DEVNULL)
    print(owned.name, child and child.pid, flush=True)
    time.sleep(100)
"""


@contextmanager
def owner(*places, before=(), child=False):
    """A process that owns a name there: the process, the name, and the child that inherited the locks."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", OWNER, "child" if child else "", *map(str, places)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    inherits = None
    try:
        name, number = process.stdout.readline().split()
        inherits = int(number) if child else None
        yield process, name, inherits
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        if inherits:
            os.kill(inherits, signal.SIGKILL)


def there(place):
    """Everything in a folder."""
    return {path.name for path in place.iterdir()}


@pytest.fixture
def places(tmp_path):
    found = [tmp_path / "temporary", tmp_path / "shared"]
    for place in found:
        place.mkdir()
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_an_owner_leaves_is_removed_and_nothing_before(places, number):
    with owner(*places) as (process, name, _):
        wanted = {f".{name}.lock", name, f"{name}_region"}
        for place in places:
            remove_abandoned_locks(place)
            assert there(place) == wanted
        process.send_signal(number)
        process.wait()
        if number != signal.SIGINT:  # which alone is an exception here, that cleans up
            assert there(places[0]) == wanted
        for place in places:
            remove_abandoned_locks(place)
            assert there(place) == set()


def test_a_child_that_outlives_the_owner_holds_its_locks(places):
    with owner(*places, child=True) as (process, name, child):
        process.kill()
        process.wait()
        remove_abandoned_locks(places[0])
        assert name in there(places[0])
        os.kill(child, signal.SIGKILL)
        wait_for(lambda: remove_abandoned_locks(places[0]) or there(places[0]) == set())


def test_an_owner_in_another_container_is_alive(places):
    """Its number means nothing here: locks know no namespaces."""
    before = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this kernel lets nobody have process numbers of their own")
    with owner(*places, before=before) as (process, name, _):
        assert name.split("_")[1] == "1"  # the number that it has there
        remove_abandoned_locks(places[0])
        assert name in there(places[0])
        sweep = "from pathlib import Path; from resnas_deploy.serving.server.ownership import *; import sys\n"
        sweep += "end_orphans(); remove_abandoned_locks(Path(sys.argv[1]))"
        subprocess.run([*before, sys.executable, "-c", sweep, places[0]], check=True, cwd=ROOT)
        assert name in there(places[0])
        process.kill()
        process.wait()
        wait_for(lambda: remove_abandoned_locks(places[0]) or there(places[0]) == set())


def test_others_files_are_left_and_stop_nobody(places, tmp_path):
    """Names like ours that are links, pipes, folders, or without a lock; nothing is followed and nothing blocks."""
    (place, _) = places
    name = "resnas_1_0123456789abcdef"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (place / f".{name}.lock").symlink_to(outside / "kept")
    os.mkfifo(place / f".{name[:-1]}e.lock")
    (place / f".{name[:-1]}d.lock").mkdir()
    (place / "resnas_1_0123").mkdir()  # as earlier versions named theirs: nobody can tell whether they live
    (place / f"{name[:-1]}c").mkdir()
    before = there(place)
    with owning([place]) as owned:
        (place / owned.name).symlink_to(outside)
        (place / f"{owned.name}_link").symlink_to(outside)
    assert there(place) == before
    assert there(outside) == {"kept"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_another_users_files_are_left(places):
    place, _ = places
    name = "resnas_1_0123456789abcdef"
    for path in (place / f".{name}.lock", place / f"{name}_region"):
        path.touch()
        os.chown(path, 12345, 12345)
    before = there(place)
    with owning([place]):
        pass
    assert there(place) == before


def test_names_are_never_the_same(places):
    names = set()
    for _ in range(50):
        with owning([places[0]]) as owned:
            names.add(owned.name)
    assert len(names) == 50
    assert there(places[0]) == set()


def test_many_that_begin_and_end_at_once_take_nothing_from_each_other(places):
    """Each looks for what is abandoned while others have just made their locks."""
    script = (
        "import sys; from pathlib import Path; from resnas_deploy.serving.server.ownership import owning\n"
        "for _ in range(60):\n"
        "    with owning([Path(sys.argv[1])]) as owned:\n"
        "        folder = Path(sys.argv[1]) / owned.name\n"
        "        folder.mkdir(); (folder / 'file').touch()\n"
        "        assert (Path(sys.argv[1]) / f'.{owned.name}.lock').exists() and (folder / 'file').exists()\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, places[0]], cwd=ROOT) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    assert there(places[0]) == set()


@pytest.mark.slow
@needs_server
def test_a_model_without_its_server_is_ended_by_the_next_start(repository):
    """What shares memory with the server is all that is left, and would hold the locks for ever."""
    with started_server(repository, stop=signal.SIGKILL) as running:
        models = [number for number in started(running) if not is_triton(number)]
        (server,) = set(started(running)) - set(models)
        running.process.send_signal(signal.SIGSTOP)  # or it would clean up
        os.kill(server, signal.SIGKILL)
    assert len(models) == 2
    with started_server(repository):
        assert leftovers(running.process) == folders(running.process) == []
        assert not list(Path("/dev/shm").glob(f".resnas_{running.process.pid}_*"))


def started(running):
    """The numbers of what a server consists of."""
    return [int(found) for found in leftovers(running.process) if found.isdecimal()]


def is_triton(number):
    return Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")[0].endswith(b"tritonserver")


@needs_server
@pytest.mark.slow
def test_a_second_server_leaves_the_first_ones_files(repository, tmp_path, mini_artifact):
    """It runs in a container of its own, with the same folders for temporary files and shared memory."""
    before = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        subprocess.run([*before, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this kernel lets nobody have process numbers of their own")
    models = tmp_path / "models"
    add_model(models, open_artifact(mini_artifact), ModelSettings("mini"))
    with started_server(models, "--poll", "1") as first:
        (folder,) = folders(first.process)
        second = ["timeout", "-s", "INT", "12", *before]
        with started_server(repository, before=second, stop=0):
            pass
        assert (folder / "backends" / "python" / "triton_python_backend_stub").exists()
        assert leftovers(first.process)
        add_model(models, open_artifact(mini_artifact), ModelSettings("mini"))
        client = grpc.InferenceServerClient(first.grpc)
        wait_for(lambda: client.get_model_metadata("mini").versions == ["2"])
        client.close()
