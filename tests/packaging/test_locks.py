"""The locks: whole, hashed, of no index, all that the extras ask for; uv hears of pip's settings; hashes hold."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import subprocess
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support.places import ROOT

LOCKS = ROOT / "locks"
NAMES = sorted(path.stem for path in LOCKS.glob("*.txt") if path.name != "held.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"locks_{name}", LOCKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


install, renew = loaded("install"), loaded("renew")


def entries(name):
    """The requirements of a lock, each with its hashes."""
    text = (LOCKS / f"{name}.txt").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if not line.startswith("#"):
            requirement, *hashes = re.split(r"\s+--hash=", line.strip())
            yield Requirement(requirement), hashes


@pytest.mark.parametrize("name", NAMES)
def test_every_package_is_pinned_by_the_hashes_of_its_files(name):
    found = list(entries(name))
    assert found
    for requirement, hashes in found:
        (specifier,) = requirement.specifier
        assert specifier.operator in ("==", "===")
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize("path", [*LOCKS.glob("*.*"), ROOT / "Makefile"], ids=lambda path: path.name)
def test_no_index_is_named(path):
    assert not re.search(r"://|--find-links[ =]/|PIP_\w+ *:?=", path.read_text())


def locked(*names):
    """The versions that locks have of each package, for some system and some Python."""
    found: dict[str, set[Version]] = {}
    for name in names:
        for requirement, _ in entries(name):
            (specifier,) = requirement.specifier
            found.setdefault(canonicalize_name(requirement.name), set()).add(Version(specifier.version))
    return found


@pytest.mark.parametrize(
    ("extras", "names"), [(renew.EXTRAS, ("main", "torch")), (("serve",), ("serving",))], ids=["main", "serving"]
)
def test_all_that_is_asked_for_is_locked(extras, names):
    wanted = [*PROJECT["dependencies"], *(text for name in extras for text in PROJECT["optional-dependencies"][name])]
    versions = locked(*names)
    for requirement in map(Requirement, wanted):
        for version in versions[canonicalize_name(requirement.name)]:
            assert requirement.specifier.contains(version), requirement


def test_both_builds_of_torch_are_of_the_version_that_is_held():
    held = (LOCKS / "held.txt").read_text()
    ((cpu, _),) = entries("torch-cpu")
    (torch,) = locked("torch")["torch"]
    assert str(cpu.specifier) == f"=={torch}+cpu"
    assert f"torch=={torch} " in held
    assert "torch" not in locked("main")
    assert not any(name.startswith("nvidia-cu") for name in locked("main"))  # which no build for CPUs needs


LISTED = """\
:env:.find-links='/over'
:env:.timeout='99'
global.cert='/certs.pem'
global.extra-index-url='file:///a\\nfile:///b'
global.find-links='/of-a-file'
install.index-url='file:///first'
global.index-url='file:///second'
install.no-deps='true'
"""


def test_what_pip_is_set_to_reaches_uv():
    settings = install.settings_of_pip(LISTED)
    assert install.options_of_uv(settings) == [
        *("--index-strategy", "unsafe-best-match", "--default-index", "file:///first"),
        *("--index", "file:///a", "--index", "file:///b", "--find-links", "/over"),
    ]
    told = install.environment_of_uv(settings, {"HOME": "/home"})
    assert (told["SSL_CERT_FILE"], told["UV_HTTP_TIMEOUT"], told["HOME"]) == ("/certs.pem", "99", "/home")
    assert install.environment_of_uv(settings, {"SSL_CERT_FILE": "/uv's"})["SSL_CERT_FILE"] == "/uv's"
    assert "--no-index" in install.options_of_uv({"no-index": "1"})


def wheel(folder, text):
    """A package of one module, as a file that an installer takes. Return its sha256."""
    name = "resnas_tried-1.0"
    metadata = "Metadata-Version: 2.1\nName: resnas-tried\nVersion: 1.0\n"
    described = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"resnas_tried.py": text, f"{name}.dist-info/METADATA": metadata, f"{name}.dist-info/WHEEL": described}
    files[f"{name}.dist-info/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{name}.dist-info/RECORD"])
    path = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module", params=["uv", "pip"])
def installer(request, tmp_path_factory):
    """An environment, and a folder that pip is set to find packages in, and nothing else."""
    uv = shutil.which("uv", path=str(ROOT / ".venv" / "bin")) or shutil.which("uv")
    if request.param == "uv" and not uv:
        pytest.skip("uv is not at hand")
    folder = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", "/dev/null")
        patch.setenv("UV_CACHE_DIR", str(folder / "cache"))
        yield install.Installer(folder / "made", uv if request.param == "uv" else ""), folder


@pytest.mark.slow
def test_a_file_is_installed_by_its_hash_and_another_one_refused(installer, tmp_path, monkeypatch):
    """By the real installers, from where pip's settings say."""
    into, folder = installer
    monkeypatch.setattr(install, "LOCKS", tmp_path)
    digest = wheel(folder, "WORD = 'right'\n")
    (tmp_path / "tried.txt").write_text(f"resnas-tried==1.0 --hash=sha256:{digest}\n")
    into.lock("tried")
    asked = [into.python, "-c", "import resnas_tried as tried; print(tried.WORD)"]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "right\n"
    (tmp_path / "other.txt").write_text(f"resnas-tried==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(subprocess.CalledProcessError):
        into.lock("other", "--target", str(tmp_path / "other"))
    assert not into.has("absent")


def test_an_old_python_is_told_which_to_take(monkeypatch, capsys):
    monkeypatch.setattr(install, "OLDEST", (99, 0, 0))
    assert install.main(["somewhere"]) == 2
    assert capsys.readouterr().out.startswith("this needs Python 99.0.0 or newer, found ")


def test_uv_is_needed_only_where_it_is_asked_for(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.main(["somewhere", "--with", "uv"]) == 2
    assert "uv is not at hand" in capsys.readouterr().out
