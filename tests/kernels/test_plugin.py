"""The TensorRT plugin against the Python half of TensorRT's own bindings, and names of the other half."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import pytest

from resnas_deploy import kernels

BINDINGS = importlib.util.find_spec("tensorrt_bindings")
pytestmark = pytest.mark.skipif(BINDINGS is None, reason="the wheel tensorrt-cu13-bindings is not installed")
HERE = Path(__file__).parent


def test_what_tensorrt_gets_while_it_builds(program):
    built = json.loads(program("engine_build.py"))
    assert built["inputs"] == ["x", "class_token", "patches", "table"]
    assert built["types"] == ["HALF", "HALF"]
    assert built["shapes"] == [[3, 17, 36]] * 2
    assert built["dynamic"] == [[True, False, False]] * 2
    assert built["combinations"] == [[dtype, "LINEAR"] for dtype in ("FLOAT", "HALF", "BF16") for _ in range(6)]
    assert built["tactics"] == []
    assert built["launch"] == {
        "grid_x": 3 * 17,  # from the symbolic batch
        "grid_y": 1,
        "grid_z": 1,
        "block_x": 32,
        "block_y": 1,
        "block_z": 1,
        "shared_mem": 0,
    }
    assert built["extras"] == 0
    assert ".target sm_89\n" in built["ptx"]
    assert f".visible .entry {built['name']}(" in built["ptx"]
    assert built["ptx"].count(".param .u64") == 4 + 2  # what TensorRT passes: inputs, extras (none), outputs


def test_the_stand_in_has_names_of_the_real_bindings():
    """Whatever the test's program stands in for must be a name in the compiled half."""
    compiled = next(Path(BINDINGS.origin).parent.glob("tensorrt*.so")).read_bytes()
    tree = ast.parse((HERE / "engine_build.py").read_text())
    (function,) = (node for node in tree.body if getattr(node, "name", "") == "stand_in")
    words = {
        word
        for node in ast.walk(function)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for word in node.value.split()
        if word[0].isupper() and word.isidentifier()
    }
    assert len(words) > 30
    words.discard("Logger")
    missing = sorted(word for word in words if word.encode() not in compiled)
    assert missing == []
    assert b"PREFER_AOT_PYTHON_PLUGINS" in compiled


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in the bindings' docstrings
def test_the_plugin_uses_public_names():
    """Each name that the plugin takes from `tensorrt.plugin` is one that its sources export."""
    folder = Path(BINDINGS.origin).parent / "plugin"
    exported = {
        node.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and any(ast.unparse(decorator) == "public_api()" for decorator in node.decorator_list)
    }
    source = ast.parse((Path(kernels.__file__).parent / "plugin.py").read_text())
    used = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "trtp"
    }
    assert used >= {"register", "autotune", "aot_impl", "TensorDesc", "KernelLaunchParams", "SymIntExprs"}
    assert used <= exported
