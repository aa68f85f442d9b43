"""The names of the Python API: what each is, and that asking for one is what loads it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import subprocess
import sys

import pytest
from support.places import PACKAGE

import resnas_deploy as resnas

HOMES = resnas._HOMES


def seen_by_type_checkers() -> dict[str, str]:
    """The names that the package's `TYPE_CHECKING` block imports, and their homes."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name, "type checkers pass a name on only where it is imported as itself"
            is_module = (PACKAGE.parent / node.module.replace(".", "/") / f"{alias.name}.py").is_file()
            found[alias.name] = f"{node.module}{'.' if is_module else ':'}{alias.name}"
    return found


def test_type_checkers_see_the_same_names():
    assert seen_by_type_checkers() == HOMES
    assert set(HOMES) <= set(dir(resnas))


@pytest.mark.parametrize("name", HOMES)
def test_each_name_is_what_its_home_says(name):
    module, _, attribute = HOMES[name].partition(":")
    home = importlib.import_module(module)
    assert getattr(resnas, name) is (getattr(home, attribute) if attribute else home)
    assert inspect.getdoc(getattr(resnas, name))


def test_no_room_hides_a_name():
    """Importing `resnas_deploy.arch` makes that module the package's attribute `arch`, whatever the API has there."""
    rooms = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert not rooms & set(HOMES)


def test_completion_and_importing_all_give_the_names_and_nothing_else():
    assert {name for name in dir(resnas) if not name.startswith("__")} == set(HOMES)
    space: dict[str, object] = {}
    exec("from resnas_deploy import *", space)
    assert set(space) - {"__builtins__"} == set(HOMES) - {"open"}, "Python's own open stays"


def test_an_unknown_name_is_told():
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        resnas.exprot  # noqa: B018  to look it up is the test


def test_importing_loads_nothing_else():
    program = (
        "import sys; before = set(sys.modules); import resnas_deploy; resnas_deploy.__version__; dir(resnas_deploy)\n"
        "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(done.stdout))
    assert {name for name in loaded if name.startswith("resnas_deploy")} == {"resnas_deploy", "resnas_deploy.version"}
    assert not loaded & {"numpy", "torch", "onnx", "onnxruntime", "scipy", "PIL", "typer", "rich"}
