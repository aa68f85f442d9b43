"""Signals end a command by an exception that arrives, whatever lies in its way; handlers are the command's alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from resnas_deploy.processes import ending

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PROGRAM = """
import os, signal, sys, time
from resnas_deploy.processes import ending

def send(number={number}):
    os.kill(os.getpid(), number)

def command():
{body}

ending.leave(ending.run_command(command, whole_process={whole}))
"""


def ran(body, number=signal.SIGTERM, *, whole=True, before=None):
    """Exit code, stdout and stderr of a process whose command is those lines."""
    body = "".join(f"    {line}\n" for line in body.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(number=int(number), body=body, whole=whole)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=before,
    )
    return done.returncode, done.stdout, done.stderr


def ended(number):
    words = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    return f"resnas: {words}\n"


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("number", NUMBERS)
def test_the_exit_code_and_the_line_are_the_signals(number, whole):
    assert ran("try:\n    send(); time.sleep(60)\nfinally:\n    print('cleaned up')", number, whole=whole) == (
        128 + number,
        "cleaned up\n",
        ended(number),
    )


DISCARDING = {
    "a finaliser": """
class Kept:
    def __del__(self):
        send()
        for _ in range(1000):
            pass
Kept()
time.sleep(60)
""",
    "a callback of a weak reference": """
import weakref
class Kept: pass
kept = Kept()
def gone(_):
    send()
    for _ in range(1000):
        pass
there = weakref.ref(kept, gone)
del kept
time.sleep(60)
""",
    "a bare except": """
try:
    send()
    time.sleep(60)
except:
    pass
time.sleep(60)
""",
    "C code that asks for an attribute": """
import operator
class Asked:
    def __getattr__(self, name):
        send()
        time.sleep(0)
        raise AttributeError(name)
try:
    send()
    getattr(Asked(), "x", None)
except BaseException:
    pass
time.sleep(60)
""",
    "another error in its place": """
try:
    send()
    time.sleep(60)
except KeyboardInterrupt:
    raise ImportError("numpy.core.multiarray failed to import") from None
""",
}


@pytest.mark.parametrize("body", DISCARDING.values(), ids=DISCARDING)
def test_it_arrives_where_exceptions_are_discarded(body):
    assert ran(body) == (143, "", ended(signal.SIGTERM))


@pytest.mark.parametrize("number", NUMBERS)
def test_more_signals_do_not_disturb_the_cleaning_up(number):
    body = """
try:
    send(); time.sleep(60)
finally:
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        send(other)
    time.sleep(0.2)
    print("cleaned up")
"""
    assert ran(body, number) == (128 + number, "cleaned up\n", ended(number))


def test_a_call_into_c_that_does_not_return_is_not_waited_for(tmp_path):
    """A lock of C's own, which no signal interrupts; what is being written meanwhile is removed."""
    (tmp_path / ".out.0123.partial").mkdir()
    (tmp_path / ".out.0123.partial" / "graph").write_text("half")
    (tmp_path / ".other.0123.partial").write_text("another process's")
    body = f"""
import ctypes, threading
held = os.open({str(tmp_path / ".out.0123.partial")!r}, os.O_RDONLY)
threading.Timer(0.5, send).start()
mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
libc.pthread_mutex_lock(mutex)
libc.pthread_mutex_lock(mutex)
"""
    assert ran(body) == (143, "", ended(signal.SIGTERM))
    assert [path.name for path in tmp_path.iterdir()] == [".other.0123.partial"]


@pytest.mark.parametrize("number", NUMBERS)
def test_what_the_parent_ignores_stays_ignored(number):
    body = "send(); time.sleep(0.2); print('went on'); return 7"
    assert ran(body, number, before=lambda: signal.signal(number, signal.SIG_IGN)) == (7, "went on\n", "")


def test_what_is_done_is_done():
    """A signal while the process ends comes too late, unless that does not end."""
    body = """
import atexit, threading
atexit.register(ending.at_the_very_end)
atexit.register(send)
print('done')
return 0
"""
    assert ran(body) == (0, "done\n", "")
    hanging = "import atexit\natexit.register(time.sleep, 60)\natexit.register(send)\nprint('done')\nreturn 0"
    assert ran(hanging) == (143, "done\n", ended(signal.SIGTERM))


def test_a_command_may_end_well_by_a_signal():
    assert ran("try:\n    send(); time.sleep(60)\nexcept KeyboardInterrupt:\n    ending.taken()\nreturn 0") == (
        0,
        "",
        "",
    )


@pytest.mark.parametrize("number", NUMBERS)
def test_last_words_are_said_where_a_signal_comes_alone(number):
    body = (
        "with ending.last_words('first'):\n    pass\nwith ending.last_words('note: more'):\n    send(); time.sleep(60)"
    )
    assert ran(body, number) == (128 + number, "", f"resnas: note: more\n{ended(number)}")


def test_a_signal_while_a_process_that_has_said_its_last_line_takes_long_to_end():
    """As on a busy machine after PyTorch, with somebody who presses Ctrl-C again: the line is said once."""
    body = """
ending.GRACE_S = 0.1
class Slow:
    def write(self, text): return sys.__stderr__.write(text)
    def flush(self):
        sys.__stderr__.flush()
        if not ending._at_once:
            ending._at_once = True
            send()
            time.sleep(1)
sys.stderr = Slow()
send()
time.sleep(60)
"""
    assert ran(body) == (128 + signal.SIGTERM, "", ended(signal.SIGTERM))


@pytest.mark.parametrize(
    ("end", "code", "err"),
    [
        ("send(); time.sleep(60)", 128 + signal.SIGTERM, f"> {ended(signal.SIGTERM)}"),
        ("ending._end_at_once(15, ending._state)", 128 + signal.SIGTERM, f"> {ended(signal.SIGTERM)}"),
        ("pass", 0, ""),
    ],
)
def test_a_terminal_is_made_ready_for_the_last_line_alone(end, code, err):
    assert ran(f"with ending.clearing('> '):\n    {end}") == (code, "", err)


def test_other_errors_are_their_own():
    code, _, err = ran("raise ValueError('of its own')")
    assert code == 1
    assert err.endswith("ValueError: of its own\n")


def test_a_terminal_that_is_gone():
    """What hangs up takes stderr along."""
    assert ran("os.close(2); send(); time.sleep(60)", signal.SIGHUP)[0] == 129


def test_handlers_are_those_from_before_afterwards():
    before = [signal.getsignal(number) for number in NUMBERS], sys.unraisablehook
    inside = []
    threads = threading.active_count()
    assert ending.run_command(lambda: inside.extend(map(signal.getsignal, NUMBERS)) or 3) == 3
    assert ([signal.getsignal(number) for number in NUMBERS], sys.unraisablehook) == before
    assert inside != before[0]
    assert threading.active_count() == threads


def test_in_another_thread_nothing_is_handled():
    found = []
    thread = threading.Thread(target=lambda: found.append(ending.run_command(lambda: 5)))
    thread.start()
    thread.join()
    assert found == [5]


def test_importing_the_package_handles_nothing():
    program = (
        "import signal, resnas_deploy, resnas_deploy.__main__, resnas_deploy.cli.app\n"
        "usual = (signal.SIG_DFL, signal.default_int_handler, signal.SIG_IGN)\n"
        "print([signal.getsignal(number) in usual for number in (1, 2, 15)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[True, True, True]\n", done.stderr
