"""The package's layers: who may import whom, read from the source, imports inside functions included."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest
from support.places import PACKAGE, ROOT

# A module may import its own layer and those before it. A package stands for all that is in it.
LAYERS = (
    "version",
    "progress",
    "errors",
    "units",
    "precision",
    "batch",
    "system",
    "processes",
    "files",
    "pages",
    "arch",
    "images",
    "weights",
    "network",
    "data",
    "graph",
    "artifact",
    "runners",
    "engines",
    "evaluating",
    "exporting",
    "measuring",
    "shaping",
    "training",
    "searching",
    "evolving",
    "serving",
    "surveying",
    "publishing",
    "deploying",
    "api",
    "",  # the package's own __init__: the public face of api
    "cli",
    "__main__",
)
LAYER = {part: number for number, part in enumerate(LAYERS)}
CORE = {"arch": {"arch", "errors", "files", "precision"}, "errors": {"errors"}}  # which import nothing else of ours
HEAVY = ("torch", "triton", "onnx", "onnxruntime", "openvino", "numpy", "PIL", "safetensors")


def part_of(module):
    """`resnas_deploy.graph.emit` is of the part `graph`."""
    names = module.split(".")
    return names[1] if len(names) > 1 else ""


def module_name(path):
    parts = ("resnas_deploy", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path):
    """The modules of ours that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "resnas_deploy")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} must import by the full name"
            if node.module == "resnas_deploy":
                for alias in node.names:  # a module of the package, or the version in its __init__
                    known = alias.name in LAYER
                    yield f"resnas_deploy.{alias.name}" if known else "resnas_deploy"
            elif node.module and node.module.startswith("resnas_deploy."):
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)  # which may be modules


def problems(part, imported):
    """What is wrong with a part's imports of other parts."""
    for other in imported:
        if LAYER[other] > LAYER[part]:
            yield f"{part} must not import {other}, which comes after it"
        if other not in CORE.get(part, LAYER):
            yield f"{part} must not import {other}, only {', '.join(sorted(CORE[part]))}"


FILES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_is_in_a_layer():
    assert {part_of(module_name(path)) for path in FILES} == set(LAYER)


def test_no_arrow_against_the_order():
    wrong = []
    for path in FILES:
        name = module_name(path)
        wrong += [
            f"{name}: {problem}" for problem in problems(part_of(name), {part_of(module) for module in imports(path)})
        ]
    assert wrong == []


def test_no_circle_of_modules():
    """Within a room either."""
    modules = {module_name(path): path for path in FILES}
    arrows = {name: {found for found in imports(path) if found in modules} - {name} for name, path in modules.items()}
    tuple(TopologicalSorter(arrows).static_order())  # which raises CycleError that names them
    with pytest.raises(CycleError):
        tuple(TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


def test_the_architecture_shows_every_room_and_names_files_that_are_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    picture = page.split("```")[1]
    assert [
        part for part in LAYER if part.isalpha() and part != "version" and not re.search(rf"\b{part}\b", picture)
    ] == []
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", page)
    assert len(named) > 15
    assert [name for name in named if not ((PACKAGE / name).is_file() or (ROOT / name).is_file())] == []


def test_an_arrow_against_the_order_would_be_seen(tmp_path):
    path = tmp_path / "arch.py"
    path.write_text(
        "from resnas_deploy.errors import BadInput\n"
        "def f():\n    from resnas_deploy.training.loop import g\n    import resnas_deploy.graph.emit\n"
        "    from resnas_deploy import bench, artifact\n"
    )
    found = {part_of(module) for module in imports(path)}
    assert found == {"errors", "training", "graph", "", "artifact"}
    assert "arch must not import training, which comes after it" in list(problems("arch", found))
    assert list(problems("exporting", {"measuring"}))
    assert list(problems("arch", {"batch"}))
    assert not list(problems("cli", set(LAYER) - {"__main__"}))


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("import resnas_deploy", ""),
        ("import resnas_deploy.cli.app", ""),
        ("sys.argv = ['resnas', '--help']; from resnas_deploy.cli.app import main; main()", "Usage: resnas"),
        ("sys.argv = ['resnas', 'export', '--help']; from resnas_deploy.cli.app import main; main()", "--image-size"),
        ("sys.argv = ['resnas', 'archs']; from resnas_deploy.cli.app import main; main()", "medium"),
        ("sys.argv = ['resnas', '--version']; from resnas_deploy.cli.app import main; main()", "resnas 0."),
    ],
)
def test_what_is_heavy_is_not_imported_without_need(command, shown):
    program = (
        "import atexit, json, sys\n"
        f"atexit.register(lambda: print(json.dumps(sorted(set(sys.modules) & set({HEAVY!r}))), file=sys.stderr))\n"
        f"{command}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert shown in done.stdout
    assert json.loads(done.stderr) == []
