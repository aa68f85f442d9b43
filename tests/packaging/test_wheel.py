"""What is published, built and tried as a stranger would: in an environment of its own, away from the checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from support.places import ROOT

from resnas_deploy.version import __version__

pytestmark = pytest.mark.slow
NO_INDEX = re.compile(r"No matching distribution|Connection|Temporary failure|ReadTimeout|error sending request", re.I)
MOST = 12_000_000  # bytes of a wheel
_MADE = re.compile(
    r"\.git|\.venv.*|build|dist|demo.*|site|gpu-report|.*\.egg-info|\..*_cache|\.hypothesis|\.benchmarks"
)


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=900, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist and the wheel, of a copy of what the repository has."""
    folder = tmp_path_factory.mktemp("built")
    here = folder / "checkout"
    kept = [path for path in ROOT.iterdir() if not path.is_symlink() and not _MADE.fullmatch(path.name)]
    here.mkdir()
    for path in kept:
        if path.is_dir():
            shutil.copytree(path, here / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, here)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", here)
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    (wheel,) = (folder / "dist").glob("*.whl")
    return sdist, wheel


def test_the_index_would_take_both(built):
    said = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *built)
    assert said.count("PASSED") == 2
    assert {path.name.partition("-")[0] for path in built} == {"resnas"}
    assert all(f"-{__version__}" in path.name for path in built)


def test_the_wheel_has_the_package_and_nothing_else(built):
    _, wheel = built
    assert wheel.stat().st_size < MOST
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(f"resnas-{__version__}.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {"resnas_deploy", f"resnas-{__version__}.dist-info"}
    wanted = {
        str(Path(folder, name).relative_to(ROOT))
        for folder, _, files in os.walk(ROOT / "resnas_deploy", followlinks=True)
        for name in files
        if not name.endswith(".pyc")
    }
    assert wanted == {name for name in names if name.startswith("resnas_deploy/")}
    assert "Description-Content-Type: text/markdown" in metadata
    assert "Project-URL: Changelog, https://" in metadata
    assert not re.search(r"\]\((?!https?://|#)", metadata.partition("\n\n")[2])


def test_the_sdist_has_what_a_packager_needs(built):
    sdist, _ = built
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("CHANGELOG.md", "LICENSE", "README.md", "setup.py", "Makefile", "locks/main.txt"):
        assert name in names, name
    assert {"examples/demo/checkpoint.safetensors", "tests/conftest.py", "docs/install.md"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", "build/"))]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A clean environment with the wheel and its extra `all-cpu`, from the index that pip here is set to.

    In the versions of the locks: a stranger's would be the newest, which may be another every day.
    """
    folder = tmp_path_factory.mktemp("stranger")
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    venv.create(folder / "made", with_pip=not uv)
    python = folder / "made" / "bin" / "python"
    versions = [
        match.expand(r"\1==\2\3")
        for name in ("main", "torch")
        for match in re.finditer(
            r"^([\w.-]+)={2,3}([^ ;]+)( ; [^\\\n]*)?", (ROOT / "locks" / f"{name}.txt").read_text(), re.MULTILINE
        )
    ]
    (folder / "versions.txt").write_text("\n".join(versions))
    sys.path.insert(0, str(ROOT / "locks"))
    try:
        import install
    finally:
        sys.path.remove(str(ROOT / "locks"))
    settings = install.settings_of_pip(run(sys.executable, "-m", "pip", "config", "list"))
    by_uv = [uv, "pip", "install", "--python", python, *install.options_of_uv(settings)]
    command = by_uv if uv else [python, "-m", "pip", "install"]
    done = subprocess.run(
        [*map(str, command), "--quiet", "--constraint", folder / "versions.txt", f"{built[1]}[all-cpu]"],
        env=install.environment_of_uv(settings, os.environ),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode and NO_INDEX.search(done.stderr):
        pytest.skip("the index cannot be reached, or lacks a package")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def first_screen():
    """The commands of README that come after the first `pip install`."""
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```(?:console|sh)\n[^`]*?pip install '?resnas\[all-cpu\].*?```", text, re.DOTALL)
    lines = [line.removeprefix("$ ") for line in block[0].splitlines()[1:-1]]
    return [shlex.split(line, comments=True) for line in lines if re.match(r"(\S*/)?resnas ", line)]


def test_the_first_screen_runs_from_the_wheel_alone(installed, tmp_path):
    """To a right prediction."""
    environment = {"PATH": os.pathsep.join([str(installed / "made" / "bin"), "/usr/bin", "/bin"])}
    environment |= {"HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
    (tmp_path / "home").mkdir()
    commands = first_screen()
    assert [words[1] for words in commands[:3]] == ["demo", "export", "predict"]
    for words in commands:
        said = run(*words, cwd=tmp_path, env=environment)
    best = re.search(r"bag\.png\s+(\S.*?) \(\d+\)", said)
    assert best[1] == "bag", said
    where = run("python", "-c", "import resnas_deploy; print(resnas_deploy.__file__)", cwd=tmp_path, env=environment)
    assert str(installed) in where
    verified = run("resnas", "verify", "clothes", "--runner", "openvino", cwd=tmp_path, env=environment)
    assert "verified: error" in verified
    run("resnas", "triton", "export", "clothes", "--repository", "models", cwd=tmp_path, env=environment)
    assert "holds" in run("resnas", "triton", "check", "models", cwd=tmp_path, env=environment)
