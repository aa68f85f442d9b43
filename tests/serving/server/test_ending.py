"""A server that is asked to end leaves nothing, at any moment; what a killed one leaves the next one removes."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

import pytest
from support.processes import wait_for
from support.triton_server import FREE, command, folders, leftovers, needs_server, started_server

pytestmark = needs_server
ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture
def never_ready(repository, tmp_path):
    """A repository whose server waits for ever: a model of the Python backend has no program."""
    models = shutil.copytree(repository, tmp_path / "models")
    (models / "mini" / "1" / "model.py").unlink()
    return models


def locks(process):
    """Lock files of a server, wherever they are."""
    return [path for place in ("/dev/shm", "/tmp", "/var/tmp") for path in Path(place).glob(f".resnas_{process.pid}_*")]


@pytest.mark.parametrize("number", ENDING)
def test_while_the_models_load(never_ready, number):
    with command("triton", "serve", never_ready, *FREE) as process:
        wait_for(lambda: leftovers(process))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "stopped\n", "")
    assert leftovers(process) == folders(process) == locks(process) == []


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("after", [0.05, 0.15, 0.3])
@pytest.mark.slow
def test_soon_after_the_start(repository, number, after):
    """While the server's files are laid out, or it is being started: wherever that is on this machine."""
    with command("triton", "serve", repository, *FREE) as process:
        wait_for(lambda: locks(process) or process.poll() is not None)
        time.sleep(after)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert leftovers(process) == folders(process) == locks(process) == []


@pytest.mark.slow
def test_a_second_signal_does_not_keep_it_from_cleaning_up(repository):
    with started_server(repository) as running:
        for number in ENDING:
            running.process.send_signal(number)
            time.sleep(0.2)
    assert running.process.returncode == 0
    assert leftovers(running.process) == folders(running.process) == locks(running.process) == []


@pytest.mark.slow
def test_a_hang_up_that_is_ignored_ends_nothing(repository):
    """As by nohup."""
    with started_server(repository, before=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]) as running:
        running.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert running.process.poll() is None
    assert running.process.returncode == 0


@pytest.mark.slow
def test_killed_while_the_models_load(never_ready, repository):
    """What is left then is removed by the next server."""
    with command("triton", "serve", never_ready, *FREE) as process:
        wait_for(lambda: leftovers(process))
        process.kill()
    wait_for(lambda: not [each for each in leftovers(process) if each.isdecimal()])
    with started_server(repository):
        assert leftovers(process) == folders(process) == locks(process) == []
