"""Image workers: in order, quiet, gone with their parent, and one line for whatever becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from support.checks import refusal
from support.processes import below, gone, is_alive, wait_for
from support.training_commands import ENVIRONMENT

from resnas_deploy.training.input import image_workers as workers_module
from resnas_deploy.training.input.image_workers import made_in_order


@dataclass(frozen=True)
class Making:
    """Makes arrays of a number, and does what is told at one of them."""

    at: int = -1
    what: str = ""

    def __call__(self, number):
        if number == self.at:
            {"": int, "kill": kill, "fail": fail, "exit": leave, "memory": too_much, "stop": stop}[self.what]()
        return np.full((300, 1000), number), number, ("text",)


class Unreadable:
    """Cannot be read where it is sent."""

    def __reduce__(self):
        return fail, ()


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def stop():
    os.kill(os.getpid(), signal.SIGSTOP)


def fail():
    raise ValueError("of its\nown")


def leave():
    os._exit(3)


def too_much():
    raise MemoryError


def mine():
    """The processes that this one has started, but for those that end by themselves when it does."""
    return [number for number in below(os.getpid()) if is_alive(number) and b"spawn_main" in command_of(number)]


def command_of(number):
    try:
        return Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_made_comes_in_order_and_can_be_written_to(count):
    found = list(made_in_order(Making(), range(10), count))
    assert [number for _, number, _ in found] == list(range(10))
    for array, number, text in found:
        assert (array == number).all()
        array += 1
        assert text == ("text",)
    assert mine() == []


def test_large_requests_do_not_wait_for_each_other():
    """Neither side may wait for the other to take what it sends."""
    found = made_in_order(np.cumsum, (np.full(300_000, number) for number in range(12)), 2)
    assert [int(array[-1]) for array in found] == [300_000 * number for number in range(12)]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("kill", "an image worker was ended by SIGKILL, as happens where memory runs out; give fewer `workers`"),
        ("exit", "an image worker stopped with exit status 3; give fewer `workers`, or `workers` 0"),
        ("fail", "an image worker failed: ValueError: of its own; give fewer `workers`, or `workers` 0"),
        ("memory", "an image worker failed: MemoryError"),
    ],
)
def test_what_becomes_of_a_worker_is_a_line(what, said, capfd):
    assert said in refusal(lambda: list(made_in_order(Making(3, what), range(10), 2)))
    assert mine() == []
    assert capfd.readouterr().err == ""


def test_what_cannot_be_read_there_is_a_line(capfd):
    line = refusal(lambda: list(made_in_order(Unreadable(), range(10), 2)))
    assert "an image worker failed: ValueError: of its own" in line
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_a_worker_that_gives_nothing_is_a_line(monkeypatch):
    monkeypatch.setattr(workers_module, "_LOOKS", 4)
    monkeypatch.setattr(workers_module, "_LOOK_S", 5.0)
    line = refusal(lambda: list(made_in_order(Making(1, "stop"), range(10), 1)))
    assert "an image worker has given nothing for 20 s" in line
    assert mine() == []


def test_they_end_when_nobody_asks_any_more():
    found = made_in_order(Making(), iter(range(10**9)), 2)
    next(found)
    there = mine()
    assert len(there) == 2
    found.close()
    assert mine() == []


PARENT = """
import sys, time
from training.input.test_image_workers import Making
from resnas_deploy.training.input.image_workers import made_in_order
found = made_in_order(Making(), iter(range(10**9)), 2)
if sys.argv[1] == "starting":
    print("there", flush=True)
for array, number, _ in found:
    if number == 5:
        print("there", flush=True)
        if sys.argv[1] == "waiting":
            time.sleep(1000)
"""


@pytest.mark.parametrize(
    ("number", "stage"),
    [
        (signal.SIGKILL, "working"),
        *(
            pytest.param(number, stage, marks=pytest.mark.slow)
            for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV)
            for stage in ("starting", "working", "waiting")
            if (number, stage) != (signal.SIGKILL, "working")
        ),
    ],
)
def test_they_end_with_their_parent_however_it_ends(number, stage, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, stage],
        env=ENVIRONMENT | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "there\n"
            children = wait_for(lambda: len(found := below(process.pid)) >= 4 and found)  # with what watches them
            process.send_signal(number)
            process.wait(timeout=60)
            gone(children)
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_is_for_the_parent_alone():
    """It goes to the whole group; workers that are starting or working say nothing."""
    with subprocess.Popen(
        [sys.executable, "-c", "import time\n" + PARENT.replace("time.sleep(1000)", "pass"), "starting"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            wait_for(lambda: len(below(process.pid)) >= 4)
            time.sleep(1)  # into their imports, or beyond
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert err.count("Traceback") == 1  # the program's own, which handles nothing
    assert "KeyboardInterrupt" in err
    assert "spawn_main" not in err


LITTLE_SHARED_MEMORY = """
mount -t tmpfs -o size=4k tmpfs /dev/shm || exit 77
head -c 4096 /dev/zero > /dev/shm/full
exec timeout -k 5 240 "$0" -c "
from training.input.test_image_workers import Making
from resnas_deploy.training.input.image_workers import made_in_order
print(sum(number for _, number, _ in made_in_order(Making(), range(10), 2)))
"
"""


def test_a_full_shared_memory_does_not_matter():
    """Which Docker makes 64 MB large."""
    unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    try:
        done = subprocess.run(
            [*unshared, "sh", "-c", LITTLE_SHARED_MEMORY, sys.executable],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=300,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare(1)")
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("this kernel lets us have no namespaces")
    assert (done.returncode, done.stdout, done.stderr) == (0, "45\n", "")
