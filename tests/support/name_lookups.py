"""Runs a command where each name is looked up at a server that refuses and records, and no other machine is reached.

`python lookups.py REPORT COMMAND ARGUMENT..`, started by `recorded`, is the inside: namespaces of the kernel with a
loopback device alone, in which the name server of /etc/resolv.conf is this process.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_REFUSED = 5  # DNS's code of an answer (RFC 1035, 4.1.1)
_SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8914, 0x41  # netdevice(7)


@dataclass(frozen=True)
class Recorded:
    """What a command did."""

    code: int
    out: str
    err: str
    names: list[str]  # that it looked up
    unreachable: int  # packets and connections to other machines by number, for which there was no way


def _namespaces():
    """The command that begins new ones: as root, or as the root of a user namespace."""
    as_user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ["unshare", *as_user, "--net", "--mount"]


@cache
def problem():
    """Why this machine cannot do it, or None."""
    if not shutil.which("unshare"):
        return "there is no unshare (util-linux) here"
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = recorded([sys.executable, "-c", "print('ran')"], Path(folder), timeout=60)
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            return f"the kernel allows no namespaces here: {error}"
    return None if found.out == "ran\n" else f"the kernel allows no namespaces here: {found.err}"


def recorded(command, folder, *, env=None, timeout=900):
    """Run it in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        done = subprocess.run(
            [*_namespaces(), sys.executable, __file__, str(report), *map(str, command)],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if not report.exists():
            raise RuntimeError(done.stderr)
        return Recorded(done.returncode, done.stdout, done.stderr, **json.loads(report.read_text()))


def _main(report, *command):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        fcntl.ioctl(device, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP_AND_RUNNING))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "resolv.conf"
        settings.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        mounted = subprocess.run(["mount", "--bind", settings, Path("/etc/resolv.conf").resolve()], check=True)
        del mounted
        names = []
        threading.Thread(target=_answer, args=(server, names), daemon=True).start()
        code = subprocess.run(command, check=False).returncode
        Path(report).write_text(json.dumps({"names": names, "unreachable": _without_a_way()}))
    sys.exit(code if code >= 0 else 128 - code)


def _answer(server, names):
    while True:
        question, sender = server.recvfrom(4096)
        labels, place = [], 12
        while (length := question[place]) != 0:
            labels.append(question[place + 1 : place + 1 + length].decode("latin-1"))
            place += 1 + length
        names.append(".".join(labels))
        header = question[:2] + bytes([0x80 | question[2], _REFUSED]) + question[4:6] + bytes(6)
        server.sendto(header + question[12 : place + 5], sender)


def _without_a_way():
    """What the kernel counted in this network namespace, of both versions of IP."""
    names, numbers = (line.split()[1:] for line in Path("/proc/net/snmp").read_text().splitlines()[:2])
    found = int(dict(zip(names, numbers, strict=True))["OutNoRoutes"])
    six = Path("/proc/net/snmp6")
    lines = six.read_text().splitlines() if six.exists() else []
    return found + sum(int(line.split()[1]) for line in lines if line.startswith("Ip6OutNoRoutes"))


if __name__ == "__main__":
    _main(*sys.argv[1:])
