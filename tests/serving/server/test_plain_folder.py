"""Wherever a repository and TMPDIR are, and whatever the environment says, a model is served, or the place is named.

Triton hands paths to a shell and to an interpreter that knows no letters beyond ASCII, so each of these was an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.places import ROOT
from support.triton_server import FREE, PYTHON, folders, leftovers, needs_server, refusal, started_server
from tritonclient import grpc

from resnas_deploy.serving.server.plain_folder import choose_folder, is_plain

pytestmark = needs_server
ODD = "my mödels 'of' \"all\" $(kinds) {a,b};&\n*"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


def answers(running):
    """The shape of an answer of the network."""
    import numpy as np

    client = grpc.InferenceServerClient(running.grpc, channel_args=[("grpc.enable_http_proxy", 0)])
    given = grpc.InferInput("images", [1, 3, 112, 112], "FP32")
    given.set_data_from_numpy(np.zeros((1, 3, 112, 112), np.float32))
    found = client.infer("mini", [given]).as_numpy("logits")
    client.close()
    return found.shape


@pytest.mark.slow
def test_names_that_no_shell_takes(repository, tmp_path):
    """Of the repository, of TMPDIR and of the log."""
    models = shutil.copytree(repository, tmp_path / ODD / "models")
    temporary, log = tmp_path / f"t{ODD}", tmp_path / ODD / "log"
    temporary.mkdir()
    with started_server(models, "--log", log, env={"TMPDIR": str(temporary)}) as running:
        assert answers(running) == (1, 10)
        assert list(temporary.glob("resnas*")) == []
    assert running.last_words == ["stopped\n", ""]
    assert "Started HTTPService" in log.read_text()
    assert leftovers(running.process) == []


@pytest.mark.slow
def test_a_path_of_thousands_of_letters(repository, tmp_path):
    models = tmp_path.joinpath(*["x" * 200] * 12)
    shutil.copytree(repository, models)
    with started_server(models) as running:
        assert answers(running) == (1, 10)


@pytest.mark.slow
def test_an_environment_for_other_programs(repository, tmp_path):
    """Proxies that know no loopback, another Python's folders, a shell's start-up file, no PATH, a relative TMPDIR."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "numpy.py").write_text("raise SystemExit('another NumPy')")
    (tmp_path / "start.sh").write_text("echo of a shell; exit 7")
    (tmp_path / "temporary").mkdir()
    proxy = "http://127.0.0.1:9"
    proxies = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "grpc_proxy")
    environment = dict.fromkeys(proxies, proxy)
    environment |= {"no_proxy": None, "NO_PROXY": None, "PATH": None, "TMPDIR": "temporary"}
    environment |= {"BASH_ENV": str(tmp_path / "start.sh"), "PYTHONSTARTUP": "/nothing"}
    environment |= {"AIP_MODE": "PREDICTION", "LD_PRELOAD": f"{tmp_path}/nothing at all.so"}  # the first opens a port
    environment |= {"LD_LIBRARY_PATH": f"{tmp_path}/nothing:/nothing", "LC_ALL": "C", "PYTHONUTF8": "0"}
    with started_server(repository, env=environment, cwd=tmp_path) as running:
        assert answers(running) == (1, 10)
        assert len(folders(running.process, tmp_path / "temporary")) == 1
        load = [PYTHON, "-m", "resnas_deploy", "triton", "load", f"grpc://{running.grpc}", "--model", "mini"]
        root = str(ROOT)
        done = subprocess.run(
            [*load, "--concurrency", "1", "--seconds", "0.2"],
            env={**os.environ, **dict.fromkeys(proxies, proxy), "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert folders(running.process, tmp_path / "temporary") == []


def test_settings_of_another_python_are_not_the_servers(monkeypatch, tmp_path):
    """They would have ended our own command, too, so they are looked at without it."""
    script = (
        "import os, sys; from pathlib import Path; "
        "os.environ |= {'PYTHONHOME': '/nothing', 'PYTHONPATH': '/nothing', 'BASH_FUNC_exec%%': '() { :; }'}; "
        "from resnas_deploy.serving.server.installed import find_server; "
        "print(*find_server(Path(sys.argv[1])).environment)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([PYTHON, "-c", script, tmp_path], env=environment, capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert {"PATH", "LD_LIBRARY_PATH"} <= set(names)
    assert not [name for name in names if name.startswith(("PYTHON", "BASH"))]


@pytest.mark.slow
def test_an_environment_with_spaces_in_its_path(repository, tmp_path):
    place = tmp_path / "my environment ö"
    place.symlink_to(PYTHON.parents[1])
    with started_server(repository, python=place / "bin" / "python") as running:
        assert answers(running) == (1, 10)


@contextmanager
def mounts(script):
    """The command before a command that runs it where that was mounted first."""
    try:
        subprocess.run(["unshare", "-m", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this kernel lets nobody mount anything")
    yield ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh"]


@AS_ROOT
@pytest.mark.slow
@pytest.mark.parametrize("option", ["noexec", "ro", "size=1m"])
def test_a_place_that_will_not_do(repository, tmp_path, option):
    """No program runs from it, nothing can be written, it is full: another one is taken."""
    (tmp_path / "temporary").mkdir()
    with (
        mounts(f"mount -t tmpfs -o {option} tmpfs {tmp_path}/temporary") as before,
        started_server(repository, before=before, env={"TMPDIR": str(tmp_path / "temporary")}) as running,
    ):
        assert answers(running) == (1, 10)


@AS_ROOT
def test_where_no_place_will_do_each_is_named(tmp_path):
    usual = ("/tmp", "/var/tmp", "/dev/shm")
    if Path(sys.executable).resolve().is_relative_to("/tmp"):
        pytest.skip("this Python is in a place that the test keeps programs from")
    script = " && ".join(f"mount --bind {place} {place} && mount -o remount,bind,noexec {place}" for place in usual)
    names = ("HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR")
    environment = {**os.environ, **dict.fromkeys(names, str(tmp_path / "home")), "TMPDIR": "/nothing"}
    with mounts(script) as before:
        done = subprocess.run(
            [
                *before,
                sys.executable,
                "-c",
                "from resnas_deploy.serving.server.plain_folder import choose_folder; choose_folder()",
            ],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    line = done.stderr.splitlines()[-1]
    for place in usual:
        assert f"{place} (no program can be run from it)" in line
    assert f"{tmp_path}/home/.cache (" in line
    assert line.endswith("; set TMPDIR to one")


@AS_ROOT
def test_a_full_shared_memory_is_what_the_message_names(repository):
    """It was that a CUDA driver had not been initialised."""
    script = "mount -t tmpfs -o size=1m tmpfs /dev/shm && head -c 900k /dev/zero >/dev/shm/full"
    with mounts(script) as before:
        line = refusal("triton", "serve", repository, *FREE, "--ready-within", "60", before=before)
    assert "shared memory" in line
    assert "CudaDriverHelper" not in line
    Path(line.rpartition("(its log: ")[2].rstrip().removesuffix(")")).unlink()


@AS_ROOT
@pytest.mark.slow
def test_a_network_without_ipv4(repository):
    script = "ip link set lo up && ip addr del 127.0.0.1/8 dev lo"
    try:
        subprocess.run(["unshare", "-n", "sh", "-c", script], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no network of its own can be had here")
    inside = ["unshare", "-n", "sh", "-c", f'{script} && exec "$@"', "sh"]
    with started_server(repository, before=inside) as running:
        assert running.http.startswith("[::1]:")
        look = f"import urllib.request; print(urllib.request.urlopen('http://{running.http}/v2/health/ready').status)"
        found = subprocess.run(
            ["nsenter", "-n", "-t", str(running.process.pid), sys.executable, "-c", look],
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout == "200\n"


def test_a_models_folder_with_an_odd_name_is_named(repository, tmp_path):
    models = shutil.copytree(repository, tmp_path / "models")
    (models / "my model").mkdir()
    assert "found 'my model'" in refusal("triton", "serve", models, *FREE)


def test_a_log_that_cannot_be_written(repository, tmp_path):
    line = refusal("triton", "serve", repository, *FREE, "--log", tmp_path / "missing" / "log")
    assert f"{tmp_path}/missing" in line


def test_the_first_cause_is_told_by_the_repositorys_own_path(repository, tmp_path):
    models = shutil.copytree(repository, tmp_path / "my models")
    (models / "mini" / "config.pbtxt").write_text("broken {")
    line = refusal("triton", "serve", models, *FREE)
    assert f"{models}/mini/config.pbtxt" in line or "mini" in line
    assert "CudaDriverHelper" not in line
    assert "/resnas_" not in line.partition("(its log")[0]
    Path(line.rpartition("(its log: ")[2].rstrip().removesuffix(")")).unlink()


@pytest.mark.parametrize(("path", "plain"), [("/tmp", True), ("/tmp/a_b-c.d+e", True), ("/t mp", False), ("/ä", False)])
def test_plain_paths(path, plain):
    assert is_plain(path) == plain


def test_a_place_that_is_found_may_be_used(tmp_path, monkeypatch):
    place = choose_folder()
    assert is_plain(str(place))
    assert os.access(place, os.W_OK | os.X_OK)
