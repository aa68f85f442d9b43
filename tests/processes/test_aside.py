"""Work beside the main thread's: its value, its errors, and what becomes of it when the main thread has had enough."""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from resnas_deploy.processes.aside import Aside, imported_aside, uncollected


def test_returns_what_the_call_returned() -> None:
    with Aside(lambda: threading.current_thread()) as aside:
        assert aside.result() is not threading.current_thread()
    assert not aside.is_running


def test_raises_what_the_call_raised() -> None:
    with Aside(lambda: 1 // 0) as aside, pytest.raises(ZeroDivisionError):
        aside.result()


def test_an_error_of_the_block_waits_for_the_call_and_comes_out() -> None:
    done: list[int] = []

    def slow() -> None:
        time.sleep(0.1)
        done.append(1)

    with pytest.raises(KeyboardInterrupt), Aside(slow):
        raise KeyboardInterrupt
    assert done == [1]


def test_a_module_is_imported_once_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "first_aside.py").write_text("import gc; collecting = gc.isenabled(); count = []; count.append(1)\n")
    (tmp_path / "second_aside.py").write_text("import first_aside; first_aside.count.append(2)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert gc.isenabled()
    with imported_aside("first_aside", "second_aside"):
        import first_aside

        assert first_aside.count[0] == 1
    importlib.import_module("second_aside")
    assert first_aside.count == [1, 2]
    assert not first_aside.collecting
    for _ in range(100):  # the thread may be at its last step
        time.sleep(0.01 * (not gc.isenabled()))
    assert gc.isenabled()


def test_what_is_here_already_starts_no_thread() -> None:
    before = threading.active_count()
    with imported_aside("sys", "no_such_module"):
        assert threading.active_count() == before


def test_an_import_that_fails_is_told_by_who_imports_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_aside.py").write_text("raise ImportError('libfoo.so is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with imported_aside("broken_aside"):
        pass
    with pytest.raises(ImportError, match=r"libfoo\.so is missing"):
        importlib.import_module("broken_aside")


def test_collecting_stays_off_where_it_was_off() -> None:
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


STUCK = """
import sys
from resnas_deploy.processes import ending
from resnas_deploy.processes.aside import imported_aside

def command():
    sys.path.insert(0, sys.argv[1])
    with imported_aside("stuck_aside"):
        print("importing", flush=True)
        sys.stdin.read()
    return 0

ending.leave(ending.run_command(command, whole_process=True))
"""


def test_an_interrupted_command_does_not_wait_for_an_import(tmp_path: Path) -> None:
    (tmp_path / "stuck_aside.py").write_text("import time; time.sleep(600)\n")
    command = [sys.executable, "-c", STUCK, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.terminate()
        try:
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 143
    assert said == "resnas: ended by SIGTERM\n"
