"""How progress is shown: a line with a bar on a terminal; in logs a line now and then; with --quiet nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from resnas_deploy.cli.said import complain, is_first_process
from resnas_deploy.cli.stages import Stages
from resnas_deploy.processes import ending
from resnas_deploy.progress import Progress, silent

QUIET = "RESNAS_QUIET"  # the environment variable that is --quiet for every command
FIRST_S, MOST_S = 5.0, 60.0  # until a log's first line, and at most between two
_BAR, _LEAST_WIDTH = 16, 80  # columns of the bar, and of the terminal that has room for one
_LEAST_TEXT = 12  # columns, however narrow the terminal
_CLEAN = "\r\x1b[2K\x1b[?25h"  # to a terminal: an empty line, and the cursor, which is hidden meanwhile

_quiet = False


def be_quiet(quiet: bool) -> None:
    """Show no progress from now on, or show it again."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether no progress is shown."""
    return _quiet


@contextmanager
def progress(*, spinner: bool = True) -> Iterator[Progress]:
    """Yield a function that shows on stderr what is being done.

    Beside what is timed there is no spinner, whose thread takes time of its own: what is shown then stands still
    between what is told.
    """
    if _quiet:
        yield silent
        return
    console = Console(stderr=True, markup=False, highlight=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:  # whatever FORCE_COLOR says
        with _in_a_log(thread=spinner) as written:
            yield written
        return
    shown = _Line(Stages(time.monotonic), "dots" if console.encoding.startswith("utf") else "line", spins=spinner)
    shown.stages.hear("starting")
    live = Live(
        shown,
        console=console,
        auto_refresh=spinner,
        refresh_per_second=10,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # above the line; else it would be sent to the terminal with it
    )

    def hear(text: str) -> None:
        shown.stages.hear(text)
        if not spinner:
            live.refresh()

    with ending.clearing(_CLEAN):
        try:  # not `with live`: a signal may come while it starts
            live.start(refresh=True)
            yield hear
        finally:
            live.stop()


class _Line:
    """What a terminal shows: one line, cut at its end, however narrow it is and becomes."""

    def __init__(self, stages: Stages, spinner: str, *, spins: bool) -> None:
        from rich.spinner import Spinner

        self.stages = stages
        self._spinner = Spinner(spinner) if spins else None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        stages, room = self.stages, options.max_width - 1
        line = Table.grid(padding=(0, 1))
        cells: list[RenderableType] = []
        if self._spinner:
            line.add_column(no_wrap=True)
            cells.append(self._spinner.render(console.get_time()))
            room -= 2
        if stages.share is not None and options.max_width >= _LEAST_WIDTH:
            line.add_column(width=_BAR)
            cells.append(ProgressBar(total=1, completed=stages.share, width=_BAR))
            room -= _BAR + 1
        end = f"{stages.details()} .."  # what is left is worth more than the end of the text
        text = Text(stages.text, no_wrap=True, overflow="crop")
        text.truncate(max(_LEAST_TEXT, room - len(end)))
        line.add_column(no_wrap=True, overflow="crop")
        line.add_row(*cells, text.append(end))
        yield line


class LogLines:
    """Which lines a log gets of what is told, by a clock: none of what is over soon, and ever fewer of what lasts.

    A stage that begins has a line, unless one was written a moment before, which is longer the longer it all takes; one
    that goes on has them at distances that double.
    """

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        self._write, self._clock = write, clock
        self._stages = Stages(clock)
        self._stages.hear("starting")
        self._began = self._last = clock()
        self._gap = FIRST_S
        self._said = ""  # the stage of the last line

    def hear(self, text: str) -> None:
        """Take what is told, and write it if it is time to."""
        self._stages.hear(text)
        self.look()

    def look(self) -> float:
        """Write what goes on, if it is time to. Return the seconds until it may be."""
        now = self._clock()
        new = self._stages.stage != self._said
        due = self._last + (min(max(FIRST_S, (now - self._began) / 10), MOST_S) if new else self._gap)
        if now < due:
            return due - now
        self._write(f"{self._stages.text}{self._stages.details()} ({_clock(now - self._began)})")
        self._gap = min(2 * self._gap, MOST_S) if not new else 2 * FIRST_S
        self._last, self._said = now, self._stages.stage
        return self._gap


def _clock(seconds: float) -> str:
    """Return how long it has been, as a clock shows it: 0:35, or 1:02:35."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


@contextmanager
def _in_a_log(*, thread: bool) -> Iterator[Progress]:
    """Yield what writes lines on stderr; a thread writes where nothing is told for long."""
    if not is_first_process():
        yield silent
        return
    lock, over = threading.Lock(), threading.Event()
    lines = LogLines(complain, time.monotonic)

    def hear(text: str) -> None:
        with lock:
            lines.hear(text)

    def watch() -> None:
        seconds = FIRST_S
        while not over.wait(seconds):
            with lock:
                seconds = lines.look()

    if not thread:
        yield hear
        return
    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield hear
    finally:
        over.set()
        watcher.join()
