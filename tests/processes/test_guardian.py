"""Whatever a process starts in a block of the guardian ends when it does, also what that starts, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support.processes import below, gone, is_alive, wait_for

from resnas_deploy.processes import guardian

PROGRAM = """
import os, signal, subprocess, sys, time
from resnas_deploy.processes import guardian

ENVIRONMENT = "env={}, " if sys.argv[1] == "unmarked" else ""
SLEEP = f"subprocess.Popen(['/bin/sleep', '1000'], {ENVIRONMENT}start_new_session=True)"
NESTED = f"import subprocess, time; print({SLEEP}.pid, flush=True);"
def started():
    command = [sys.executable, "-c", f"{NESTED} time.sleep(1000)"]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
    return process.pid, int(process.stdout.readline())

other = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
with guardian.ending_with_us():
    with guardian.ending_with_us():
        pass
    numbers = started()
after = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(*numbers, other.pid, after.pid, flush=True)
if sys.argv[1] == "fork" and os.fork() == 0:
    time.sleep(1000)
if sys.argv[1] == "end":
    guardian.end_children()
    print("ended", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def started():
    """A function: a process, the numbers of what it started in a block, of that's child, and of two outside of it."""
    kept = []

    def start(what="wait"):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, what], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        kept.append(process.pid)
        numbers = [int(word) for word in process.stdout.readline().split()]
        kept.extend(numbers)
        return process, numbers

    yield start
    for number in kept:
        if is_alive(number):
            os.kill(number, signal.SIGKILL)


@pytest.mark.parametrize("what", ["wait", "fork"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_they_end_with_it(started, number, what):
    process, (child, grandchild, other, after) = started(what)
    everything = below(process.pid)
    process.send_signal(number)
    process.wait(timeout=60)
    gone([child, grandchild])
    guardians = set(everything) - {child, grandchild, other, after}
    if what == "wait":
        gone(guardians)
    assert is_alive(other)
    assert is_alive(after)
    for left in filter(is_alive, guardians):
        os.kill(left, signal.SIGKILL)
    process.stdout.close()


def test_they_end_where_a_whole_group_is_killed(started):
    process, (child, grandchild, *_) = started()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    gone([child, grandchild])
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_so_does_what_one_of_them_started_without_the_mark(started, number):
    """As Ray's agents are, which write their titles over their environment."""
    process, (child, grandchild, *_) = started("unmarked")
    process.send_signal(number)
    process.wait(timeout=60)
    gone([child, grandchild])
    process.stdout.close()


def test_they_can_be_ended_before(started):
    process, (child, grandchild, other, after) = started("end")
    assert process.stdout.readline() == "ended\n"
    assert [is_alive(number) for number in (child, grandchild, other, after)] == [False, False, True, True]
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_environment_is_as_before_afterwards():
    before = dict(os.environ)
    with guardian.ending_with_us():
        assert set(os.environ) - set(before)
    assert dict(os.environ) == before


def test_a_guardian_that_was_killed_is_started_again():
    with guardian.ending_with_us():
        first, _ = guardian._running[os.getpid()]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: not is_alive(first))
    with guardian.ending_with_us():
        second, _ = guardian._running[os.getpid()]
    assert second != first
    assert is_alive(second)
