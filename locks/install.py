"""Set up an environment from the locks beside this file: exactly the files whose hashes they have, by uv or by pip.

    python3 locks/install.py .venv                 what `make` uses, and the Triton server's environment in it
    python3 locks/install.py .venv --with pip      without uv, where that is at hand

Whatever the index, pip's own settings say: its configuration files and PIP_ variables. uv reads neither, so it is told.
It needs nothing but Python.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LOCKS = Path(__file__).parent
ROOT = LOCKS.parent
OLDEST = (3, 11)
SERVER_UNTIL = (3, 12)  # as its Python backend was built for NumPy 1


def settings_of_pip(listed: str) -> dict[str, str]:
    """Return what `pip config list` printed, by name: of one for `install`, of a file, or of the environment the last.

    Each line is as global.find-links='/some/where'.
    """
    found: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        strength = {"global": 0, "install": 1, ":env:": 2}.get(section, -1)
        if value and strength >= found.get(name, (0, ""))[0]:
            found[name] = (strength, str(ast.literal_eval(value)))
    return {name: value for name, (_, value) in found.items()}


def options_of_uv(settings: Mapping[str, str]) -> list[str]:
    """Return pip's settings as uv's options: it takes the best of all indexes, as pip does."""
    options = ["--index-strategy", "unsafe-best-match"]
    if index := settings.get("index-url"):
        options += ["--default-index", index]
    for index in settings.get("extra-index-url", "").split():
        options += ["--index", index]
    for place in settings.get("find-links", "").split():
        options += ["--find-links", place]
    for host in settings.get("trusted-host", "").split():
        options += ["--allow-insecure-host", host]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        options.append("--no-index")
    return options


def environment_of_uv(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that uv is started with: pip's certificates, proxy and patience, but for those it has."""
    told = {"cert": ("SSL_CERT_FILE",), "timeout": ("UV_HTTP_TIMEOUT",), "proxy": ("HTTPS_PROXY", "HTTP_PROXY")}
    told |= {"default-timeout": told["timeout"], "client-cert": ("SSL_CLIENT_CERT",)}
    more = {variable: settings[name] for name, variables in told.items() if name in settings for variable in variables}
    return {"UV_LINK_MODE": "copy" if os.name == "nt" else "hardlink"} | more | dict(environment)


class Installer:
    """An environment that is filled, by uv or by its own pip."""

    def __init__(self, folder: Path, uv: str) -> None:
        self.folder, self.uv = folder, uv
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        make = [sys.executable, "-m", "venv", "--clear", *(["--without-pip"] if uv else []), str(folder)]
        subprocess.run(make, check=True)
        listed = [sys.executable, "-m", "pip", "config", "list"]
        settings = settings_of_pip(subprocess.run(listed, check=True, text=True, stdout=subprocess.PIPE).stdout)
        self.options = options_of_uv(settings) if uv else []
        self.environment = environment_of_uv(settings, os.environ) if uv else dict(os.environ)

    def install(self, *arguments: str, quietly: bool = False) -> None:
        """Install exactly what is asked for: nothing is resolved, nor built in an environment with other packages."""
        if self.uv:
            command = [self.uv, "pip", "install", "--python", str(self.python), *self.options]
        else:
            command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "install", "--no-input"]
        always = ["--quiet", "--quiet", "--no-deps", "--no-build-isolation"]
        said = subprocess.DEVNULL if quietly else None
        subprocess.run([*command, *always, *arguments], check=True, env=self.environment, cwd=ROOT, stderr=said)

    def lock(self, name: str, *options: str, quietly: bool = False) -> None:
        """Install what a lock has."""
        self.install("--require-hashes", "--requirement", str(LOCKS / f"{name}.txt"), *options, quietly=quietly)

    def has(self, name: str) -> bool:
        """Install what a lock has, if it is to be had: return whether it was."""
        try:
            self.lock(name, quietly=True)
        except subprocess.CalledProcessError:
            return False
        return True


def set_up(folder: Path, uv: str) -> None:
    """Make the environment of all commands but the server, and in it the server's own."""
    main = Installer(folder, uv)
    main.lock("build")
    main.lock("main")
    if not main.has("torch-cpu"):
        main.lock("torch")
    main.install("--editable", str(ROOT))
    if sys.version_info[:2] > SERVER_UNTIL or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        newest = ".".join(map(str, SERVER_UNTIL))
        print(f"no Triton server: from pip it is for Linux on x86-64 and Python up to {newest} alone")
        return
    serving = Installer(folder / "serving", uv)
    serving.lock("build")
    serving.lock("serving")
    serving.install("--editable", str(ROOT))
    serving.lock("perf-analyzer", "--target", str(folder / "serving" / "perf_analyzer"))


def main(arguments: Sequence[str]) -> int:
    """Run the command, and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the environment to make; what is there is replaced")
    parser.add_argument("--with", dest="by", choices=("uv", "pip"), help="uv where it is at hand, else pip")
    asked = parser.parse_args(arguments)
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        print(f"this needs Python {'.'.join(map(str, OLDEST))} or newer, found {found}; name one: make setup PYTHON=..")
        return 2
    uv = "" if asked.by == "pip" else shutil.which("uv") or ""
    if asked.by == "uv" and not uv:
        print("uv is not at hand; install it, or leave out --with uv")
        return 2
    try:
        set_up(asked.folder.absolute(), uv)
    except subprocess.CalledProcessError as error:  # which has said why
        return error.returncode or 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
