"""Commands where a place is missing, full, read-only, linked, taken meanwhile, or a user has neither name nor home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from resnas_deploy.artifact.artifact import MANIFEST, MODEL, WEIGHTS, open_artifact
from resnas_deploy.files.user_folders import cache_folder, data_folder, stand_in

RESNAS = (sys.executable, "-m", "resnas_deploy")
QUICK = ("--runner", "ort-cpu", "--batch", "1", "--runs", "4", "--openings", "2")


@pytest.fixture
def linked(artifact_copy, tmp_path):
    """An artifact as a hub's cache lays it out."""
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for name in (MODEL, WEIGHTS, MANIFEST):
        shutil.move(artifact_copy / name, tmp_path / f"{name}.blob")
        (snapshot / name).symlink_to(f"../../{name}.blob")
    return snapshot


def test_every_command_reads_a_linked_artifact(resnas, linked, tmp_path):
    image = tmp_path / "image.png"
    from PIL import Image

    Image.new("RGB", (32, 32)).save(image)
    assert resnas("predict", linked, image, "--runner", "ort-cpu", "--json").json["images"]
    assert resnas("verify", linked, "--json").json["error"] is None
    assert resnas("inspect", linked, "--json").json["name"] == str(linked)
    assert resnas("bench", linked, *QUICK, "--json").json["measurements"]
    assert resnas("compare", linked, linked, *QUICK[:4], "--runs", "10", "--json").json["comparisons"]


def test_a_model_of_a_linked_artifact_has_its_own_name_and_files(resnas, linked, tmp_path):
    pytest.importorskip("tritonclient")
    (tmp_path / "clothes").symlink_to(linked)
    resnas("triton", "export", "clothes", "--repository", "models")
    copied = tmp_path / "models" / "clothes" / "1" / MODEL
    assert copied.read_bytes() == (linked / MODEL).read_bytes()
    assert not copied.is_symlink()


def test_an_export_that_comes_second_is_refused(tmp_path, tiny):
    """Two at once to one name: one is done, the other says so."""
    command = [*RESNAS, "export", "--arch", tiny, "--unverified", "--out", "x"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert [bool(out) for out, _ in said] == [process.returncode == 0 for process in both]
    assert sorted(path.name for path in tmp_path.iterdir()) == [tiny, "x"]
    open_artifact(tmp_path / "x")


def test_what_appears_during_an_export_is_precious(tmp_path, tiny):
    command = [*RESNAS, "export", "--arch", tiny, "--out", "x"]  # verified, so that there is time
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".x.*.partial")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "thesis").write_text("precious")
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "x exists: it was made in the meantime" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == [tiny, "x"]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["thesis"]


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_measured(refused, mini_artifact, option):
    line = refused("bench", mini_artifact, *QUICK[:4], "--runs", "100000", option, "/proc/x.svg")
    assert "/proc/x.svg cannot be written" in line


def test_what_was_measured_is_printed_even_if_it_cannot_be_saved(resnas, mini_artifact, monkeypatch):
    monkeypatch.setattr("resnas_deploy.files.outputs.check_writable", lambda _: None)  # it filled up since
    done = resnas("bench", mini_artifact, *QUICK, "--out", "/proc/x.json", code=2)
    assert "p50 ms" in done.out
    assert "written" not in done.out
    assert "resnas: /proc/x.json cannot be written" in done.err.splitlines()[-1]
    assert resnas("bench", mini_artifact, *QUICK, "--out", "/proc/x.json", "--json", code=2).json["measurements"]


def test_a_report_that_appeared_meanwhile_stays(resnas, mini_artifact, tmp_path, monkeypatch):
    monkeypatch.setattr("resnas_deploy.cli.bench.show_notes", lambda _: (tmp_path / "a.json").write_text("precious"))
    done = resnas("bench", mini_artifact, *QUICK, "--out", "a.json", code=2)
    assert "p50 ms" in done.out
    assert "a.json exists: it was made in the meantime" in done.err
    assert (tmp_path / "a.json").read_text() == "precious"


def test_a_report_to_standard_output(tmp_path, mini_artifact, cache_home):
    command = [*RESNAS, "bench", str(mini_artifact), *QUICK, "--out", "/dev/stdout"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(cache_home)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    document = done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1]
    assert json.loads(document)["measurements"]
    assert done.stdout.endswith("written: /dev/stdout\n")


def test_a_cache_that_cannot_be_written_is_a_note(resnas, mini_artifact, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    monkeypatch.setattr("resnas_deploy.measuring.machine.roofline.PRODUCT_SECONDS", 0.1)
    monkeypatch.setattr("resnas_deploy.measuring.machine.roofline.MEMORY_SECONDS", 0.1)
    # What is measured on a busy machine is not kept, and so not written.
    monkeypatch.setattr("resnas_deploy.measuring.machine.conditions.Conditions.disturbed", lambda _: [])
    done = resnas("bench", mini_artifact, *QUICK)
    assert "of ceiling" in done.out
    assert "note: the ceilings are not kept: " in done.err


def test_a_folder_that_was_removed_is_named(tmp_path, mini_artifact):
    (tmp_path / "gone").mkdir()
    script = f"cd gone && rmdir ../gone && {' '.join(RESNAS)} bench {mini_artifact} --out x.json"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "current folder, which was removed" in done.stderr or "x.json cannot be written" in done.stderr


def nobody(*command, cwd):
    """A command as a user number that has no name, no home, and no entry in passwd."""
    lost = ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
    return subprocess.run(
        ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", *command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in lost},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="to become another user needs root")
def test_a_user_without_a_name_and_a_home():
    script = "import tempfile; print(tempfile.mkdtemp())"
    made = nobody(sys.executable, "-c", script, cwd="/")
    if made.returncode:
        pytest.skip("that user cannot run this Python")
    folder = made.stdout.strip()
    try:
        done = nobody(*RESNAS, "latency", "check", "--space", "demo", cwd=folder)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("found neither a home nor XDG_DATA_HOME; name a file: --store\n")
        done = nobody(*RESNAS, "runners", cwd=folder)
        assert done.returncode == 0
        assert "Traceback" not in done.stdout + done.stderr
    finally:
        shutil.rmtree(folder)


def test_where_a_user_keeps_things(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    assert str(cache_folder({"XDG_CACHE_HOME": "/c"})) == "/c/resnas"
    assert str(data_folder({"HOME": "/h"})) == "/h/.local/share/resnas"
    assert cache_folder({"HOME": ""}) is None
    monkeypatch.setattr("pathlib.Path.home", none)
    assert data_folder({}) is None
    environment = {}
    stand_in(environment)
    assert environment["HOME"]
    assert cache_folder(environment) is None, "it is nobody's home"
