"""A real browser that tests drive: Chromium without a window, over the pipe of its DevTools protocol.

The protocol is a JSON message in each direction, each ended by a zero byte (--remote-debugging-pipe: file descriptors 3
and 4), so that no package and no port is needed. https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_S = 60
_START = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser():
    """The browser that is installed, as a person would start it; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page."""

    def __init__(self, program, folder):
        ours, theirs = os.pipe(), os.pipe()
        self._out, self._in = ours[1], theirs[0]
        # Out of the way of 3 and 4, which the child makes of them.
        there = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10) for number in (ours[0], theirs[1])]
        options = ["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        options += ["--disable-dev-shm-usage", "--disable-extensions", "--disable-background-networking"]
        command = [program, *options, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(str, there), *command],
            pass_fds=there,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in (ours[0], theirs[1], *there):
            os.close(number)
        self._number, self._session, self._buffer, self.events = 0, None, b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """Send a command and return what it answers; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self):
        until = time.monotonic() + WAIT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, until - time.monotonic()))
            piece = os.read(self._in, 1 << 20) if ready else b""
            assert piece, "the browser must answer, and did not"
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, path, width, *, dark=False, scripts=True):
        """Open a file in a window of that width, and wait until it is drawn."""
        self.events.clear()
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=path.resolve().as_uri())
        until = time.monotonic() + WAIT_S
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < until
            self.events.append(self._next())
        if scripts:
            self.drawn()

    def drawn(self):
        """Wait until what was changed is on the screen."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def run(self, script):
        """Return what an expression is in the page."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, *keys):
        """Press keys, each as a person does."""
        for key in keys:
            code = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "PageDown": 34, "End": 35, "Home": 36}.get(key)
            code = code or {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}[key]
            typed = {"text": "\r"} if key == "Enter" else {}
            for kind, more in (("keyDown", typed), ("keyUp", {})):
                self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)
        self.drawn()

    def point(self, x, y):
        """Move the pointer there."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.drawn()

    def problems(self):
        """Errors of scripts, what the page's policy forbade, and whatever was asked of anybody else."""
        self.run("1")
        found = []
        for event in self.events:
            said, what = event["method"], event.get("params", {})
            if said == "Runtime.exceptionThrown":
                found.append(what["exceptionDetails"])
            elif said == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
                found.append(what["args"])
            elif said == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(what["entry"])
            elif said == "Network.requestWillBeSent" and not what["request"]["url"].startswith(
                ("file:", "about:", "data:")
            ):
                found.append(what["request"]["url"])
        return found

    def picture(self, path):
        """Write the whole page as PNG."""
        found = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def close(self):
        """End the browser."""
        try:
            self._session = None
            self.ask("Browser.close")
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._out)
            os.close(self._in)


@contextmanager
def opened_browser(folder):
    """The browser that is installed, with a profile of its own in a folder."""
    browser = Browser(find_browser(), folder)
    try:
        yield browser
    finally:
        browser.close()
