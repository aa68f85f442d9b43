"""The Triton server that the `serve` extra brings along, or that a container has, and what it needs to run."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from resnas_deploy.errors import NotAvailable, PackageMissing
from resnas_deploy.processes.quiet import turn_off
from resnas_deploy.serving.server.huge_pages import ask_for_huge_pages
from resnas_deploy.serving.server.plain_folder import link

INSTALL = "pip install 'resnas[serve]'"
# The server in an environment of its own: its Python backend was built for NumPy 1.
_INSTALL_SERVER = f"python3 -m venv serving && serving/bin/{INSTALL}"
_RELEASE = "24.10"  # of the server in nvidia-pytriton 0.7.0, which is 2.51
_STUB, _PYTHON_BACKEND = "triton_python_backend_stub", ("libtriton_python.so", "triton_python_backend_utils.py")
# What users set for their own Python and their own shells, both of which the server starts; and what has it listen
# elsewhere, for Google's Vertex AI.
_OTHERS = ("PYTHON", "BASH_FUNC_", "AIP_")
_SHELL_SETTINGS = {"BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT"}


@dataclass(frozen=True)
class InstalledServer:
    """A server's program, where its parts are, and the environment that it starts in."""

    program: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    release: str = ""  # of NVIDIA's images, as 26.08; nothing where it is not known


def require_client() -> None:
    """Raise `PackageMissing` without the package that writes configurations and asks servers."""
    if importlib.util.find_spec("tritonclient") is None:
        raise PackageMissing("serving needs the package tritonclient, which is not installed", INSTALL)


def server_here() -> str:
    """Return what tells the server that is installed here from others, without starting it; nothing where none is."""
    if importlib.util.find_spec("pytriton") is not None:
        return f"nvidia-pytriton {version('nvidia-pytriton')}"
    return shutil.which("tritonserver") or ""


def find_server(folder: Path) -> InstalledServer:
    """Return the server that is installed here, with what it needs laid out in `folder`, whose path must be plain.

    Raise `NotAvailable`, and `OSError` where the folder is full.
    """
    environment = _clean(os.environ)
    spec = importlib.util.find_spec("pytriton")  # found, not imported: only its files are used
    if spec is None or spec.origin is None:
        if program := shutil.which("tritonserver"):  # NVIDIA's own image
            return InstalledServer(Path(program), (), environment, os.environ.get("NVIDIA_TRITON_SERVER_VERSION", ""))
        raise PackageMissing(
            "the server comes with the package nvidia-pytriton, which is not installed", _INSTALL_SERVER
        )
    _check_python()
    site = Path(spec.origin).parents[1]
    files = site / "pytriton" / "tritonserver"
    backends = folder / "backends"
    _lay_out_python(files, backends / "python")
    # The package has no onnxruntime backend: a Python-based one of that name serves such models unchanged.
    (backends / "onnxruntime").mkdir()
    source = resources.files("resnas_deploy.serving.repository.models") / "network.py"
    (backends / "onnxruntime" / "model.py").write_bytes(source.read_bytes())
    libraries = [
        str(link(folder, "libpython", Path(str(sysconfig.get_config_var("LIBDIR"))))),
        str(link(folder, "libraries", site / "nvidia_pytriton.libs")),
    ]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, *filter(None, [environment.get("LD_LIBRARY_PATH")])])
    # Its Python backend starts the first python3 of PATH: ours, with the packages that the models need.
    python = Path(sys.executable)
    programs = link(folder, "python", python.parents[1]) / python.parent.name
    environment["PATH"] = os.pathsep.join([str(programs), environment["PATH"]])
    return InstalledServer(
        _executable(files / "bin" / "tritonserver", folder),
        (f"--backend-directory={backends}", f"--cache-directory={link(folder, 'caches', files / 'caches')}"),
        environment,
        _RELEASE,
    )


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what makes the server's Python or shell another one, or reports to anybody."""
    found = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_OTHERS) and name not in _SHELL_SETTINGS
    }
    found["PATH"] = found.get("PATH") or os.defpath
    turn_off(found)
    ask_for_huge_pages(found)
    return found


def _check_python() -> None:
    for package in ("onnxruntime", "numpy"):
        try:
            found = version(package)
        except PackageNotFoundError:
            raise PackageMissing(f"served models need the package {package}, which is not installed", INSTALL) from None
    if int(found.partition(".")[0]) > 1:
        raise NotAvailable(
            f"this server's Python backend was built for NumPy 1, found {found}; give it an environment of its own",
            _INSTALL_SERVER,
        )


def _lay_out_python(files: Path, folder: Path) -> None:
    """Write Triton's Python backend with the stub for this Python: copies, because it refuses links."""
    release = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = files / "python_backend_stubs" / release / _STUB
    if not stub.is_file():
        known = sorted(path.name for path in stub.parents[1].iterdir())
        raise NotAvailable(f"the server has Python backends for {', '.join(known)}, found Python {release}")
    folder.mkdir(parents=True)
    for path in (stub, *(files / "backends" / "python" / name for name in _PYTHON_BACKEND)):
        shutil.copyfile(path, folder / path.name)
    (folder / _STUB).chmod(0o700)


def _executable(program: Path, folder: Path) -> Path:
    """Return the program, or a copy that may be run: pip does not keep the permission of every file in a package."""
    if os.access(program, os.X_OK):
        return program
    copy = folder / program.name
    shutil.copyfile(program, copy)
    copy.chmod(0o700)
    return copy
