"""Ends a command on SIGINT, SIGTERM and SIGHUP alike: by an exception, so that everything is cleaned up on the way.

The exit code is then 128 and the signal's number, and one line says what happened. The console script installs this
before it imports anything else of ours, so this module imports next to nothing. Whoever uses the package as a library
keeps the handlers that they have.

The exception may come anywhere, also where nothing can be raised: in a finaliser, in a callback of the import system,
below C code that discards errors. So it is raised again whenever it vanishes without having arrived. While a call into
C takes long, it cannot be raised at all: then a thread waits for `GRACE_S`, removes what is half written, and ends the
process.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import signal
import sys
import time
import weakref

from resnas_deploy.system import here

TYPE_CHECKING = False  # `typing` takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any, NoReturn

SIGNALS = here.ENDING
INTERRUPTED = 128 + signal.SIGINT  # the exit code of a program that Ctrl-C ended
GRACE_S = 4.0  # for a call into C to return; Docker kills after 10 s
AGAIN_S = 10.0  # after which another signal interrupts the cleaning up too
LOCK, PARTIAL = ".resnas-lock", ".partial"  # the name of locks, and the end of what is written for a later name
_POLL_S = 0.05
_AGAIN = b"\0"  # to the thread: no signal has this number


class Ended(KeyboardInterrupt):
    """A signal asked this process to end. What a program does on Ctrl-C it does for each of the signals."""


class _State:
    """What signals have done to this process so far."""

    def __init__(self) -> None:
        self.number = 0  # of the first one; 0: none came
        self.at = 0.0  # when it was last raised
        self.raised: weakref.ref[Ended] | None = None  # the exception on its way up
        self.taken = False  # whether it has arrived
        self.late = False  # whether the command is over: what comes now does not count, if the process then ends
        self.wakeup = -1  # what Python's own handler writes to
        self.last_words: list[str] = []  # lines that are said where a signal ends it
        self.clear = ""  # what makes room for them on a terminal
        self.speaking = _thread.allocate_lock()  # whoever has it says them, once

    def is_on_its_way(self) -> bool:
        """Whether the exception is somewhere on its way up."""
        return self.raised is not None and self.raised() is not None

    def is_ending(self) -> bool:
        """Whether the exception is on its way, or has arrived, and not for so long that something must be stuck."""
        return (self.is_on_its_way() or self.taken) and time.monotonic() < self.at + AGAIN_S


_state = _State()
_at_once = False  # see `leave_at_once`


def run_command(command: Callable[[], int], *, whole_process: bool = False) -> int:
    """Run a command under the handlers and return its exit code; where a signal ended it, 128 and that one's number.

    With `whole_process` nothing comes after it but the end of the process, and the handlers stay for that.
    """
    if _state.wakeup >= 0:  # this is within `run`
        return command()
    open_closed()  # before anything takes their numbers
    mask = here.block_signals(SIGNALS)
    try:
        before = _install()
    except ValueError:  # not the main thread: Python allows no handlers
        here.restore_signals(mask)
        return command()
    try:
        return _code_of(command, mask)
    finally:
        if not whole_process:
            _restore(before)


def leave_at_once() -> None:
    """Have `leave` end this process without tidying up memory: its threads may wait for what never comes."""
    global _at_once
    _at_once = True


def leave(code: int) -> NoReturn:
    """End this process, whose command is over, with an exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # a full disk, or a reader that is gone
            with contextlib.suppress(
                OSError, ValueError
            ):  # else Python tries again at its end, and makes 120 of the code
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if _at_once:
        os._exit(code)
    gc.freeze()  # no search for garbage in what goes away as a whole: after PyTorch that takes a quarter of a second
    sys.exit(code)


def open_closed() -> None:
    """Put the null device where 0, 1 or 2 is closed, in which case Python has no stream for it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            if (opened := os.open(os.devnull, os.O_RDWR)) != number:  # the lowest number that is free, and so this one
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  it stays open for as long as we run
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  as above
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  as above


def _code_of(command: Callable[[], int], mask: Any) -> int:
    try:
        here.restore_signals(mask)
        code = command()
        _state.late = True
    except SystemExit as error:
        _state.late = True
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        _state.late = True
        if not _state.number and not isinstance(error, KeyboardInterrupt):
            raise
        code = INTERRUPTED  # whatever became of the exception on the way
    if code != INTERRUPTED and (_state.taken or not _state.number):  # a server's command ends well by a signal
        return code
    _state.taken = True
    number = _state.number or signal.SIGINT
    _end_children()
    if _state.speaking.acquire(blocking=False):
        _say(_last_lines(_state, number))
    return 128 + number


def taken() -> None:
    """Say that the interrupt is handled: the command goes on to its end, and is not interrupted again."""
    _state.taken = True


def raise_if_ended() -> None:
    """Raise `Ended` where a signal came and is not handled: an error at hand is then only what it led to.

    C code may have turned the exception into one of its own.
    """
    if _state.number and not _state.taken:
        raise _exception()


class last_words:  # noqa: N801  a context manager
    """Have a line said before the last one where a signal ends the block."""

    def __init__(self, line: str) -> None:
        self._line = line

    def __enter__(self) -> None:
        _state.last_words.append(self._line)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            _state.last_words.remove(self._line)


@contextlib.contextmanager
def clearing(written: str) -> Iterator[None]:
    """Have this written on stderr before the last lines where a signal ends the block, or the process within it.

    The signal may come amid the tidying up of what is shown on a terminal, or at a moment that leaves no time for it.
    """
    _state.clear = written
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        _state.clear = ""
        raise
    _state.clear = ""


def _install() -> dict[int, Any]:
    """Handle the signals, but for those that whoever started this process has chosen to ignore (nohup, `&`)."""
    global _state
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before: dict[int, Any] = {number: there for number in SIGNALS if (there := signal.getsignal(number)) in usual}
    state = _State()
    for number in before:
        signal.signal(number, _on_signal)
    reader, writer = os.pipe()
    here.never_wait(writer)
    state.wakeup, _state = writer, state
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before[0] = sys.unraisablehook
    sys.unraisablehook = _on_unraisable
    _thread.start_new_thread(_watch, (reader, state))
    return before


def _restore(before: dict[int, Any]) -> None:
    global _state
    sys.unraisablehook = before.pop(0)
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)
    os.close(_state.wakeup)  # which ends the thread
    _state = _State()


def _on_signal(number: int, frame: FrameType | None) -> None:
    del frame
    if _state.late:
        return
    _state.number = _state.number or number
    if not _state.is_ending():
        _state.taken = False
        raise _exception()


def _exception() -> Ended:
    error = Ended(_state.number)
    _state.at = time.monotonic()
    _state.raised = weakref.ref(error, _when_gone)
    try:
        return error
    finally:
        del error  # nothing may refer to it but who is to see it


def _when_gone(_: object) -> None:
    """Have the signal raised again where its exception was discarded on the way: by the thread, since here is no place.

    An exception raised here would only be discarded too.
    """
    if not _state.taken and not _state.late:
        os.write(_state.wakeup, _AGAIN)


def _on_unraisable(found: Any) -> None:
    """Keep quiet about an interrupt where nothing can be raised; when it is gone, it is raised again."""
    if not isinstance(found.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(found)


def _watch(reader: int, state: _State) -> None:
    """Raise a signal again, and end the process where the main thread does not see one for too long. A thread."""
    while content := os.read(reader, 64):
        until = time.monotonic() + GRACE_S
        for number in content:
            while number and (state.late or not state.number) and signal.getsignal(number) is _on_signal:
                if time.monotonic() > until:
                    _end_at_once(number, state)
                time.sleep(_POLL_S)
        if _AGAIN in content:
            time.sleep(_POLL_S)
            if not (state.taken or state.late or state.is_on_its_way()):
                here.raise_again(state.number)
    os.close(reader)


def _end_at_once(number: int, state: _State) -> None:
    import shutil

    _end_children()
    for path in _unfinished():
        try:
            os.unlink(path)  # noqa: PTH108  pathlib would have to be imported
        except OSError:  # a folder, or gone
            shutil.rmtree(path, ignore_errors=True)
    try:
        if state.speaking.acquire(blocking=False):
            os.write(2, _last_lines(state, number).encode())
    finally:
        os._exit(128 + number)


def _unfinished() -> list[str]:
    """Return what this process is writing: it holds a lock on each, in a file of that name or on the thing itself."""
    found = []
    for path in here.open_paths():
        folder, name = os.path.split(path)
        if name == LOCK:
            found.append(folder)
        elif name.startswith(".") and name.endswith(PARTIAL):
            found.append(path)
    return found


def _end_children() -> None:
    """End what this process has started and not ended, where it has started anything."""
    if module := sys.modules.get("resnas_deploy.processes.guardian"):
        module.end_children()


def speaker() -> str:
    """Return what begins the last line of one of several processes that torchrun has numbered; else nothing."""
    if os.environ.get("WORLD_SIZE", "").strip() in ("", "1"):
        return ""
    return f"rank {os.environ.get('RANK', '').strip() or '?'}: "


def _last_lines(state: _State, number: int) -> str:
    lines = [*dict.fromkeys(state.last_words), _words(number)]
    return state.clear + "".join(f"resnas: {line}\n" for line in lines)


def _words(number: int) -> str:
    return speaker() + ("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")


def _say(text: str) -> None:
    """Write a text on stderr, which may be gone, as the terminal is after SIGHUP."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def at_the_very_end() -> None:
    """Let nothing interrupt what is left of a process whose work is done and whose exit code is known."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # blocking them would leave them to threads of libraries
